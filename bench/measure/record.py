"""A benchmark's result: every sample of every measurement, with where it ran, as one JSON file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.measure.device import Facts
from bench.measure.timing import median
from dermforge.common import atomic
from dermforge.common.errors import UserError, first_fault

#: By one of these a folder of results is known; each is a command's name.
FILES = (
    *(
        f"{command}.json"
        for command in (
            "roofline",
            "builtin",
            "engine",
            "engine-files",
            "sample",
            "few-steps",
            "shards",
            "train",
            "study",
            "paper",
            "gpu",
        )
    ),
    "gpu.jsonl",  # of a run on a GPU that was stopped
    "claims.csv",  # of the published study
)

SCHEMA_VERSION: Literal[1] = 1
Detail = str | int | float | bool | None
NONE: Mapping[str, Detail] = MappingProxyType({})


class Measurement(BaseModel):
    """One quantity, measured several times.

    Attributes
    ----------
    name
        What was measured, from the general to the particular: "whole/ours/bundle".
    better
        Which direction is better; "neither" for a description.
    samples
        One for each repeat; a single one where repeating is not worth the time, such as a build.
    details
        The conditions of this number: rows, precision, batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    unit: str
    better: Literal["higher", "lower", "neither"] = "neither"
    samples: list[float]
    details: dict[str, Detail] = {}

    @property
    def median(self) -> float:
        return median(self.samples)


class BenchmarkRecord(BaseModel):
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


def save(record: BenchmarkRecord, folder: Path) -> Path:
    """Write `<command>.json` whole into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.command}.json"
    atomic.write_whole(path, record.model_dump_json(indent=1).encode() + b"\n")
    return path


def load(path: Path) -> BenchmarkRecord:
    """Read a result.

    Raises
    ------
    UserError
        There is no such file, or it is not a result of `bench`.
    """
    if not path.is_file():
        raise UserError(f"no benchmark result at {path}; `bench engine` writes one")
    try:
        return BenchmarkRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path} is not a result of bench: {first_fault(error)}; expected a file that bench wrote"
        ) from error


def records(path: Path) -> list[BenchmarkRecord]:
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
        raise UserError(f"no benchmark results in {path}; `bench all` writes them")
    return found


def known(value: float) -> float | None:
    """None for what could not be measured: JSON has no NaN."""
    return None if math.isnan(value) else value


def higher(name: str, unit: str, samples: list[float], details: Mapping[str, Detail] = NONE) -> Measurement:
    """A measurement of which more is better."""
    return Measurement(name=name, unit=unit, better="higher", samples=samples, details=dict(details))


def lower(name: str, unit: str, samples: list[float], details: Mapping[str, Detail] = NONE) -> Measurement:
    """A measurement of which less is better."""
    return Measurement(name=name, unit=unit, better="lower", samples=samples, details=dict(details))


def per_second(name: str, seconds: Iterable[float], work: float, unit: str, **details: Detail) -> Measurement:
    """A rate: the work divided by each of these times."""
    return higher(name, unit, [work / s for s in seconds], details)


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> list[float]:
    """Our samples as multiples of theirs, turn by turn."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]
