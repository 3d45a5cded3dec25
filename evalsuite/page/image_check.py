"""What one command measured on the images, kept as JSON until `evalsuite report` puts it on the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from dermforge.common.errors import UserError, first_fault
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json
from evalsuite.page.blocks import Plot, Table, Thumbnails
from evalsuite.stats.estimate import NOT_ENOUGH, Estimate

#: The file of a check in its command's folder.
SECTION = "section.json"
Axis = Literal["fidelity", "diversity", "utility", "privacy", "fairness"]
Status = Literal["good", "warn", "bad", "unknown"]
#: What synthetic images are judged by, in the report's order (Friedrich 2024 without fairness).
AXES: tuple[Axis, ...] = get_args(Axis)


@dataclass(frozen=True)
class ImageCheck:
    """A title, a verdict in a sentence, a status, and what there is to show on each axis."""

    title: str
    verdict: str
    status: Status
    shown: dict[Axis, list[Table | Plot | Thumbnails]]


def read_check(path: Path) -> ImageCheck:
    """What `evalsuite quality`, `tone`, `privacy`, `filter`, `reader-study` or `use` left behind.

    Raises
    ------
    UserError
        The file is damaged, or no section.
    """
    try:
        content = opened_json(read_regular(path), path, "run the command that wrote it again")
        return TypeAdapter(ImageCheck).validate_json(content)
    except ValidationError as error:
        raise UserError(
            f"{path} is not a report section ({first_fault(error)}); run the command that wrote it again"
        ) from error


#: AUC from which a difference is plain to see.
PLAIN = 0.9


def told_apart(low: float, value: float, high: float) -> Status:
    """What the AUC of telling real from synthetic says; an interval from 0.5 up to `PLAIN` says nothing."""
    if low <= 0.5:
        return "good" if high < PLAIN else "unknown"
    return "warn" if value < PLAIN else "bad"


def frame_table(frame: pd.DataFrame, caption: str) -> Table:
    """A frame as text; NaN reads "not enough data"."""
    rows = [[_text(v) for v in row] for row in frame.itertuples(index=False)]
    return Table([str(c) for c in frame.columns], rows, caption)


def interval_texts(frame: pd.DataFrame, value: str = "rate", low: str = "low", high: str = "high") -> list[str]:
    """Three columns as one, for readers: "0.123 (0.100 to 0.150)"."""
    rows = zip(frame[value], frame[low], frame[high], strict=True)
    return [Estimate(middle, least, most, 0).text() for middle, least, most in rows]


def thumbnails(jpegs: Sequence[tuple[bytes, str]], columns: int, caption: str) -> Thumbnails:
    """JPEGs with a label each."""
    return Thumbnails([(base64.b64encode(jpeg).decode(), label) for jpeg, label in jpegs], columns, caption)


def _text(value: object) -> str:
    if isinstance(value, Estimate):
        return value.text()
    if isinstance(value, float):
        return NOT_ENOUGH if value != value else f"{value:.3g}"
    return "" if value is None else str(value)
