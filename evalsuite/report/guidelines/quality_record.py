"""The cells of `quality.json`: fidelity and diversity of all images, and of each class and skin type."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dermforge.common.errors import UserError, first_fault
from dermforge.common.regular_file import read_regular

QUALITY = "quality.json"


class QualityCell(BaseModel):
    """One number of one cell; None where there was not enough data. `metric` is such as `recall[dinov2]`."""

    model_config = ConfigDict(frozen=True)

    family: str
    cell: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int

    def text(self) -> str:
        if self.value is None:
            return "not enough data"
        between = "" if self.low is None or self.high is None else f" ({self.low:.3g} to {self.high:.3g})"
        return f"{self.value:.3g}{between}"


class _Quality(BaseModel):
    cells: tuple[QualityCell, ...]


def read_quality(path: Path) -> tuple[QualityCell, ...]:
    """All cells of a measurement.

    Raises
    ------
    UserError
        It is none.
    """
    try:
        return _Quality.model_validate_json(read_regular(path)).cells
    except ValidationError as error:
        raise UserError(f"{path} is no measurement of quality ({first_fault(error)}); measure it again") from error
