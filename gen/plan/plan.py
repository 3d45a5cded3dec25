"""The plan: a table with one row for each image, sorted and digested; the same inputs give the same bytes."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from dermforge.common.output_file import claim_table
from dermforge.common.sealed_parquet import sealed
from dermforge.common.tables import read_table
from engines.pipeline_spec import LARGEST_SIDE
from gen.plan.ids import cell_id
from gen.plan.prompts import render
from shards.format.schema import ID_PATTERN

Strategy = Literal["text-to-image", "image-to-image", "inpaint", "outpaint", "inpaint-outpaint"]
Mask = Literal["centre", "lesion", "ellipse", "rectangle"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
#: The strategies that redraw a part of a parent, and so need a mask.
MASKED = ("inpaint", "outpaint", "inpaint-outpaint")
#: As in Sagers et al. 2023; for image-to-image the least that changes a skin tone (Wang et al. 2024).
STRENGTHS: dict[str, float] = {
    "text-to-image": 1.0,
    "image-to-image": 0.75,
    "inpaint": 0.97,
    "outpaint": 0.95,
    "inpaint-outpaint": 0.95,
}


class PlanRow(BaseModel):
    """One image to make: everything that decides its pixels, except the model.

    `guidance_interval` is in noise levels sigma/alpha, (low, high]; empty guides every step. The first `base_steps` are
    taken by the base of a bundle that has one: see `engines.base_first`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str = Field(pattern=ID_PATTERN)
    label: str = Field(alias="class", min_length=1)
    group: str | None = None
    strategy: Strategy = "text-to-image"
    prompt: str = Field(min_length=1)
    negative_prompt: str = ""
    parent: str | None = None
    mask: Mask | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)
    solver: str = "dpmsolver++"
    steps: int = Field(default=20, ge=1, le=1000)
    guidance: float = Field(default=3.0, ge=0, le=100)
    guidance_interval: tuple[float, float] | None = None
    strength: float = Field(default=1.0, gt=0, le=1)
    base_steps: int = Field(default=0, ge=0, le=1000)
    size: int = Field(ge=8, le=LARGEST_SIDE)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_strategy(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("strategy") in STRATEGIES:
            data = {"strength": STRENGTHS[data["strategy"]], **data}
            if data["strategy"] in MASKED:
                data.setdefault("mask", "centre")
        return data

    @field_validator("guidance_interval", mode="before")
    @classmethod
    def _parse_interval(cls, value: object) -> object:
        if isinstance(value, str):
            return parse_interval(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> PlanRow:
        if self.strategy == "text-to-image" and (self.parent or self.mask):
            raise ValueError("text-to-image has neither a parent nor a mask")
        if self.strategy != "text-to-image" and not self.parent:
            raise ValueError(f"{self.strategy} needs a parent, the id of a real image")
        if (self.strategy in MASKED) != (self.mask is not None):
            raise ValueError(f"{self.strategy} with mask {self.mask!r}; masks are for {', '.join(MASKED)}")
        if self.guidance_interval and not 0 <= self.guidance_interval[0] < self.guidance_interval[1]:
            raise ValueError("`guidance_interval` must rise from 0 or more, as 0.28:5.42")
        return self


def parse_interval(text: str) -> tuple[float, float]:
    """Noise levels written as LOW:HIGH.

    Raises
    ------
    UserError
        The text is not two numbers.
    """
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise UserError(f"guidance interval {text!r}; expected LOW:HIGH in noise levels, as 0.28:5.42") from error


COLUMNS: tuple[str, ...] = tuple(field.alias or name for name, field in PlanRow.model_fields.items())
#: The column that a plan may lack.
BASE_STEPS = "base_steps"


@dataclass(frozen=True)
class Plan:
    """Rows in the order of their ids, kept as text so that a million of them stay small.

    Attributes
    ----------
    frame
        One column for each of `COLUMNS`, text as it stands in the file, empty for none.
    digest
        sha256 of the canonical CSV, whatever file the plan came from.
    """

    frame: pd.DataFrame
    digest: str

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, start: int = 0, stop: int | None = None) -> list[PlanRow]:
        return _rows(self.frame.iloc[start:stop])

    def apart(self, *columns: str, among: NDArray[np.bool_] | None = None) -> list[PlanRow]:
        """The first row of each combination of values in some columns, of all rows or among some."""
        some = self.frame if among is None else self.frame[among]
        return _rows(some.drop_duplicates(list(columns)))

    def cells(self) -> pd.DataFrame:
        """Images per class (rows) and group (columns)."""
        return pd.crosstab(self.frame["class"], self.frame["group"])

    @property
    def by_base(self) -> bool:
        """Whether a base takes steps of any row."""
        return bool((self.frame[BASE_STEPS] != "0").any())

    @property
    def written(self) -> list[str]:
        """The columns of the canonical file; without `BASE_STEPS` where no row has any, as plans were before it."""
        return [c for c in COLUMNS if c != BASE_STEPS or self.by_base]

    def csv(self) -> str:
        """The canonical file: design order of columns, LF, UTF-8."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.written)
        writer.writerows(zip(*(self.frame[c] for c in self.written), strict=True))
        return text.getvalue()

    def save(self, path: Path) -> None:
        """Write the plan, as parquet if the name says so, else as CSV.

        It is written whole or not at all, and never over a file that is not a plan.
        """
        claim_table(path, "a plan", {*COLUMNS} - {BASE_STEPS})
        if path.suffix.lower() == ".parquet":
            write_whole(path, sealed(self.frame[self.written]))
        else:
            write_whole(path, self.csv().encode())


def _rows(part: pd.DataFrame) -> list[PlanRow]:
    return [
        PlanRow.model_validate({k: v for k, v in zip(COLUMNS, values, strict=True) if v != ""})
        for values in zip(*(part[c] for c in COLUMNS), strict=True)
    ]


def from_rows(rows: Iterable[Mapping[str, Any]], source: str = "the plan") -> Plan:
    """A plan from mappings with the keys in `COLUMNS` (others are refused, missing ones get their defaults).

    Raises
    ------
    UserError
        For a row that is not valid (its number, the field and the reason) and for ids that repeat.
    """
    valid = [_validated(row, number, source) for number, row in enumerate(rows, 1)]
    if not valid:
        raise UserError(f"{source} has no rows")
    valid.sort()
    for (one, *_), (other, *_) in pairwise(valid):
        if one == other:
            raise UserError(f"{source} names the id {one!r} twice; ids must be unique")
    frame = pd.DataFrame(valid, columns=list(COLUMNS), dtype="str")
    plan = Plan(frame, "")
    return Plan(frame, hashlib.sha256(plan.csv().encode()).hexdigest())


def load(path: Path, defaults: Mapping[str, Any] | None = None, one_for_all: bool = False) -> Plan:
    """Read a CSV or parquet table; a missing id is made from the row's number and cell.

    Parameters
    ----------
    path
        The table; it needs at least a `class` column, and a `prompt` unless `defaults` gives the template.
    defaults
        Values of columns that a row leaves out; `prompt` is a template.
    one_for_all
        Accept a template that does not name the rows' skin types.
    """
    return from_rows(with_defaults(_read(path), defaults or {}, one_for_all), str(path))


def from_csv(content: bytes, source: str) -> Plan:
    """The plan that `Plan.csv` wrote.

    Parameters
    ----------
    source
        What to call it in errors.
    """
    try:
        return from_rows(csv.DictReader(io.StringIO(content.decode(), newline="")), source)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{source} is not the CSV of a plan ({error})") from error


def _validated(row: Mapping[str, Any], number: int, source: str) -> tuple[str, ...]:
    try:
        valid = PlanRow.model_validate({k: v for k, v in row.items() if v is not None and v != ""})
    except ValidationError as error:
        raise UserError(f"{source}, row {number}{_fault(error, row)}") from error
    except ValueError as error:
        raise UserError(f"{source}, row {number}: {error}") from error
    return tuple(_text(value) for value in valid.model_dump(by_alias=True).values())


def _fault(error: ValidationError, row: Mapping[str, Any]) -> str:
    """What is wrong with a row, as its number goes on."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
    if not where:
        return f": {said}"
    if first["type"] == "missing":
        more = "" if where == "class" else "; `gen plan --table` makes a plan of a table with classes alone"
        return f" has no {where}{more}"
    return f": {where}: {said}, got {row.get(where)!r}"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ":".join(_text(v) for v in value)
    return repr(value) if isinstance(value, float) else str(value)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"no plan at {path}; write one with `gen plan`")
    yield from records(read_table(path))


def records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    plain = frame.astype(object).where(frame.notna(), None)
    for values in plain.itertuples(index=False, name=None):
        yield dict(zip((str(c) for c in frame.columns), values, strict=True))


def with_defaults(
    rows: Iterable[Mapping[str, Any]], defaults: Mapping[str, Any], one_for_all: bool = False
) -> Iterator[dict[str, Any]]:
    """Rows with what they leave out: `defaults`, an id from number and cell, and a prompt from the template in them."""
    for number, given in enumerate(rows, 1):
        row = {**defaults, **{k: v for k, v in given.items() if v is not None and v != ""}}
        if "class" in row:
            row.setdefault("id", cell_id(number, str(row["class"]), row.get("group")))
            if "prompt" in defaults and not given.get("prompt"):
                row["prompt"] = render(str(row["prompt"]), str(row["class"]), row.get("group"), one_for_all)
        yield row
