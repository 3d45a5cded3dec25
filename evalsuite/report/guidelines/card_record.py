"""A fairness card as `card.json` has it, whoever computed it: the part that a checklist needs."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dermforge.common.errors import UserError, first_fault
from dermforge.common.regular_file import read_regular
from evalsuite.fairness.card import Card
from evalsuite.stats.estimate import NOT_ENOUGH

CARD = "card.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Written(_Part):
    """An estimate; None where there is no value."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    enough: bool
    method: str = ""

    def text(self) -> str:
        """As a card shows it."""
        if not self.enough or self.value is None:
            return NOT_ENOUGH
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class GroupOf(_Part):
    column: str
    group: str
    n: int
    clusters: int | None
    metrics: dict[str, Written]


class GapOf(_Part):
    column: str
    metric: str
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    worst: str
    best: str
    detectable: float | None


class SettingsOf(_Part):
    confidence: float
    specificity: float
    min_count: int
    prevalence: float | None = None


class CardRecord(_Part):
    """What a checklist needs of a card."""

    source: str
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[GroupOf, ...]
    gaps: tuple[GapOf, ...]
    thresholds: dict[str, dict[str, float | None]]
    settings: SettingsOf
    primary: str

    @property
    def all(self) -> GroupOf:
        return next(row for row in self.rows if (row.column, row.group) == ("all", "all"))

    def of(self, column: str) -> list[GroupOf]:
        return [row for row in self.rows if row.column == column]

    def gap(self, column: str) -> GapOf | None:
        """The gap of the primary metric."""
        return next((gap for gap in self.gaps if (gap.column, gap.metric) == (column, self.primary)), None)


def record_of(card: Card) -> CardRecord:
    """The same of a card that was just computed."""
    return CardRecord.model_validate(card.to_dict())


def read_card(path: Path) -> CardRecord:
    """The card of a folder.

    Raises
    ------
    UserError
        It is none.
    """
    try:
        card = CardRecord.model_validate_json(read_regular(path))
    except ValidationError as error:
        raise UserError(f"{path} is not a fairness card ({first_fault(error)}); make it again") from error
    if not any((row.column, row.group) == ("all", "all") for row in card.rows):
        raise UserError(f"{path} is not a fairness card (no row of all images); make it again")
    return card
