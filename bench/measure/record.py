"""A benchmark's result: every sample of every measurement, with where it ran, as one JSON file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.markup import escape
from rich.table import Table

from bench.measure.device import Facts
from bench.measure.timing import median, spread
from dermforge.common import atomic, console
from dermforge.common.errors import UserError

SCHEMA_VERSION: Literal[1] = 1
MISSING = "not enough data"


class Measurement(BaseModel):
    """One quantity, measured several times.

    Attributes
    ----------
    name
        What was measured, from the general to the special: "whole/ours/images".
    better
        Which way is better; "neither" for what only describes.
    samples
        One a repeat; a single one where repeating is not worth it, such as a build.
    details
        What qualifies this number: rows, precision, batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    unit: str
    better: Literal["higher", "lower", "neither"] = "neither"
    samples: list[float]
    details: dict[str, str | int | float | bool | None] = {}

    @property
    def median(self) -> float:
        return median(self.samples)


class Record(BaseModel):
    """What one benchmark command measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    command: str
    settings: dict[str, Any] = {}
    facts: Facts
    measurements: list[Measurement]

    def get(self, name: str) -> Measurement | None:
        return next((m for m in self.measurements if m.name == name), None)

    def starting(self, prefix: str) -> list[Measurement]:
        return [m for m in self.measurements if m.name.startswith(prefix)]


def save(record: Record, folder: Path) -> Path:
    """Write `<command>.json` whole into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.command}.json"
    atomic.write_whole(path, record.model_dump_json(indent=1).encode() + b"\n")
    return path


def load(path: Path) -> Record:
    """Read a result.

    Raises
    ------
    UserError
        There is no such file, or it is not a result of `bench`.
    """
    if not path.is_file():
        raise UserError(f"no benchmark result at {path}; `bench engine --out {path.parent}` writes one")
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{path} is not a result of bench: {where}: {first['msg']}; expected what `--out` wrote"
        ) from error


def records(path: Path) -> list[Record]:
    """All results in a file or a folder, by command.

    Raises
    ------
    UserError
        Nothing there is a result.
    """
    if path.is_file():
        return [load(path)]
    found = [load(file) for file in sorted(path.glob("*.json")) if b'"schema_version"' in file.read_bytes()]
    if not found:
        raise UserError(f"no benchmark results in {path}; `bench all --out {path}` writes them")
    return found


def deliver(record: Record, out: Path | None, as_json: bool, title: str = "") -> None:
    """What every benchmark ends with: the record into a folder where one is given, and on stdout as JSON or a table."""
    if out:
        save(record, out)
    if as_json:
        console.print_json(record.model_dump(mode="json"))
    else:
        show(record, title)


def show(record: Record, title: str = "") -> None:
    """Print a record as a table, and where it ran."""
    table = Table(title=title or None, title_justify="left")
    table.add_column("measured", overflow="fold")  # two names must never look alike
    for name in ("median", "quartiles", "unit", "n", "with"):
        table.add_column(name)
    for m in record.measurements:
        low, high = spread(m.samples)
        quartiles = f"{number(low)} to {number(high)}" if len(m.samples) > 1 else ""
        extra = ", ".join(f"{k} {number(v) if isinstance(v, float) else v}" for k, v in m.details.items())
        table.add_row(escape(m.name), number(m.median), quartiles, m.unit, str(len(m.samples)), escape(extra))
    console.out.print(table)
    console.say(where(record.facts))
    if not record.facts.quiet:
        console.err.print(
            f"[yellow]the machine was busy (others took {record.facts.load:.0%} of the cores): do not "
            "quote these numbers[/yellow]",
            soft_wrap=True,
        )


def where(facts: Facts) -> str:
    """One line on the machine and the versions."""
    driver = f", driver {facts.driver}, CUDA {facts.cuda}" if facts.kind == "cuda" else f", {facts.threads} threads"
    packages = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return f"{facts.device}{driver}; {packages}; commit {facts.commit}; {facts.date}"


def known(value: float) -> float | None:
    """None for what could not be measured: JSON has no NaN."""
    return None if math.isnan(value) else value


def number(value: float) -> str:
    """Four figures; what is undefined says so."""
    if math.isnan(value):
        return MISSING
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def per_second(
    name: str, seconds: Iterable[float], work: float, unit: str, **details: str | int | float | bool | None
) -> Measurement:
    """A rate: work done in each of these times."""
    return Measurement(name=name, unit=unit, better="higher", samples=[work / s for s in seconds], details=details)
