"""What the steps of a GPU run write: one JSON line for each thing found, on the disk as soon as it is found."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.measure.device import Facts
from bench.measure.record import Detail, Measurement

#: stopped: at its time limit. died: its process ended under it. not run: no time was left, or what it needs is missing.
Status = Literal["done", "failed", "skipped", "stopped", "died", "not run"]
FILE = "gpu.jsonl"


class Skipped(Exception):
    """Raised by a step that does not apply here; says why."""


class Job(BaseModel):
    """What every step of a run is given.

    Attributes
    ----------
    out
        Folder of the results, which stay.
    scratch
        Folder of logs and compiled code, removed at the end.
    shapes
        Which networks are measured: a name in `bench.suites.gpu.networks`.
    rehearsal
        Tiny networks on the CPU without the compiler.
    begun
        When the run began, in seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Path
    scratch: Path
    shapes: str
    rehearsal: bool
    begun: float


class Outcome(BaseModel):
    """How a step ended, and why if it was not done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    seconds: float
    why: str | None = None


class Plan(BaseModel):
    """What a run was asked for.

    Attributes
    ----------
    facts
        Of the machine, without its GPU: what remains known if the step that looks at the GPU is lost.
    extras
        The steps that the run is whole without.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: Facts
    settings: dict[str, Any]
    steps: list[str]
    extras: list[str]


class Line(BaseModel):
    """One thing that a step found, or how it ended.

    Attributes
    ----------
    at
        Seconds since the run began.
    note
        What is no number: names of kernels, tests that failed.
    plan
        What the run was to do; its first line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    step: str
    measurement: Measurement | None = None
    facts: Facts | None = None
    note: dict[str, Any] | None = None
    outcome: Outcome | None = None
    plan: Plan | None = None


class Report:
    """Where a step puts what it finds; nothing that was put there is lost when its process is.

    Parameters
    ----------
    again
        Whether the step was tried before, by a process that was lost: its measurements get another name.
    beside
        Whether other steps run at the same time: its measurements say so.
    """

    def __init__(self, job: Job, step: str, *, again: bool = False, beside: bool = False) -> None:
        self.job, self.again = job, again
        self.details: dict[str, Detail] = {"side by side": True} if beside else {}
        self.step = f"{step} again" if again else step

    def measured(self, *found: Measurement) -> None:
        for m in found:
            name = f"{m.name} again" if self.again else m.name
            self._write(measurement=m.model_copy(update={"name": name, "details": m.details | self.details}))

    def facts(self, facts: Facts) -> None:
        self._write(facts=facts)

    def note(self, **note: Any) -> None:
        self._write(note=note)

    def ended(self, outcome: Outcome) -> None:
        self._write(outcome=outcome)

    def _write(self, **what: Any) -> None:
        line = Line(at=round(time.time() - self.job.begun, 2), step=self.step, **what)
        append(self.job.out / FILE, line)


def begin(path: Path, plan: Plan) -> None:
    """Make the file of a run, with its plan.

    Raises
    ------
    FileExistsError
        Another run has it, finished or not.
    """
    with path.open("xb"):
        pass
    append(path, Line(at=0, step="plan", plan=plan))


def append(path: Path, line: Line) -> None:
    """Add a line to a file that other processes add to as well: one write, then flushed to the disk."""
    content = line.model_dump_json(exclude_defaults=True).encode() + b"\n"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        while content:  # a second turn nearly always means a full disk: the system gives the reason
            content = content[os.write(file, content) :]
        os.fsync(file)
    finally:
        os.close(file)


def read(path: Path) -> tuple[list[Line], int]:
    """The lines of a run, and how many others could not be read: a killed process may leave half a line."""
    found, damaged = [], 0
    for text in path.read_bytes().splitlines():
        try:
            found.append(Line.model_validate_json(text))
        except ValidationError:
            damaged += 1
    return found, damaged
