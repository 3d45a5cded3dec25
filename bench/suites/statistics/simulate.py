"""Run experiments in small, numbered lots whose counts are kept, so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.suites.statistics.experiments import BARS, Experiment
from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError

LOT = 20


class Percentage(NamedTuple):
    """In how many of an experiment's tables an outcome was true.

    Attributes
    ----------
    error
        Standard error, in percent.
    missed
        "below" or "above" where the percentage misses its bar by more than two errors, else "".
    """

    experiment: str
    outcome: str
    percent: float
    error: float
    tables: int
    missed: str


class Counts(BaseModel):
    """What an experiment has shown so far.

    Attributes
    ----------
    lots
        Lots of `LOT` tables that are counted.
    judged, true
        Of each outcome: in how many tables there was one, and in how many it was true.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    experiment: str
    lots: int = 0
    judged: dict[str, int] = {}
    true: dict[str, int] = {}

    def rows(self) -> Iterator[Percentage]:
        """A percentage for each outcome, by name."""
        for name, n in sorted(self.judged.items()):
            share = self.true.get(name, 0) / n
            least, most = BARS[name.partition(":")[0]]
            error = 100 * math.sqrt(max(share * (1 - share), 1 / n) / n)
            percent = 100 * share
            missed = "below" if percent < least - 2 * error else "above" if percent > most + 2 * error else ""
            yield Percentage(self.experiment, name, percent, error, n, missed)


def file_of(folder: Path, name: str) -> Path:
    """Where the counts of an experiment are kept."""
    return folder / ("".join(c if c.isalnum() else "-" for c in name) + ".json")


def read(folder: Path, name: str) -> Counts:
    """The counts so far; none where there is no file.

    Raises
    ------
    UserError
        The file is no record of this experiment.
    """
    path = file_of(folder, name)
    if not path.exists():
        return Counts(experiment=name)
    try:
        return Counts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path}: no counts of a simulation ({error.error_count()} faults); remove it to start anew"
        ) from None


def simulate(
    experiment: Experiment, folder: Path, share: float = 1.0, tick: Callable[[int], None] | None = None
) -> Counts:
    """Draw what is missing of `share` of the experiment's tables."""
    found, wanted = read(folder, experiment.name), lots(experiment, share)
    judged, true = Counter(found.judged), Counter(found.true)
    key = int.from_bytes(hashlib.sha256(experiment.name.encode()).digest()[:8], "big")
    for lot in range(found.lots, wanted):
        rng = np.random.default_rng([key, lot])
        for _ in range(LOT):
            outcome = experiment.one(rng)
            judged.update(list(outcome))
            true.update(name for name, was in outcome.items() if was)
        found = Counts(experiment=experiment.name, lots=lot + 1, judged=dict(judged), true=dict(true))
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file_of(folder, experiment.name), found.model_dump_json(indent=1).encode())
        if tick is not None:
            tick(LOT)
    return found


def lots(experiment: Experiment, share: float) -> int:
    """Lots that this share of an experiment's tables needs."""
    return max(1, math.ceil(experiment.tables * share / LOT))
