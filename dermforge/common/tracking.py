"""A run in the trackers that a user names with `--track`. What fails there is said once, and the run goes on."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.atomic import write_whole
from dermforge.common.errors import DataWarning, UserError, first_line
from dermforge.common.extras import how_to_install
from dermforge.common.output_folder import claim
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json, sealed_json
from dermforge.common.trackers import MLflow, Run, TensorBoard, Tracker, Value, WandB
from dermforge.common.version import __version__

#: The option of all commands that track.
Track = Annotated[
    list[str] | None,
    typer.Option(help="Also log to tensorboard, wandb (offline) or mlflow, in OUT.tracking; may be given again."),
]
#: The class of each tool, its extra, and the packages without which it does not begin.
TOOLS: dict[str, tuple[Callable[[Run], Tracker], str, tuple[str, ...]]] = {
    "tensorboard": (TensorBoard, "track", ("tensorboard",)),
    "wandb": (WandB, "wandb", ("wandb",)),
    "mlflow": (MLflow, "mlflow", ("mlflow", "sqlalchemy", "alembic")),
}
#: Which run a folder of trackers is of.
RECORD = "run.json"


class RunRecord(BaseModel):
    """The id that the tools know a run by, and the digest of its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    settings: str


class Tracking:
    """The trackers of one run; without any, every call does nothing."""

    def __init__(self, folder: Path, trackers: Mapping[str, Tracker]) -> None:
        self.folder, self.trackers = folder, dict(trackers)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step; what is not finite is not measured, and left out."""
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        self._each(lambda tracker: tracker.metrics(known, step))

    def outcome(self, values: Mapping[str, Value]) -> None:
        """What came out in the end: verdicts, digests, and numbers that have no step."""
        known = {k: v for k, v in values.items() if isinstance(v, str) or math.isfinite(v)}
        self._each(lambda tracker: tracker.outcome(known))

    def artefact(self, name: str, content: bytes) -> None:
        """A file without images and without ids of images, which is written to the folder of the trackers."""

        def give(tracker: Tracker) -> None:
            write_whole(self.folder / name, content)
            tracker.artefact(self.folder / name)

        self._each(give)

    def close(self, done: bool) -> None:
        self._each(lambda tracker: tracker.close(done))
        self.trackers.clear()

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # noqa: BLE001 - whatever a tool raises must not end hours of training
                del self.trackers[name]
                _warn(name, error)


def check_tools(tools: Sequence[str]) -> None:
    """Refuse a tool that is not known or not installed, before anything is done.

    Raises
    ------
    UserError
        Says what to install.
    """
    for tool in tools:
        if tool not in TOOLS:
            raise UserError(f"--track {tool}: no such tracker; expected {', '.join(TOOLS)}")
        _, extra, packages = TOOLS[tool]
        missing = [name for name in packages if find_spec(name) is None]
        if missing:
            raise UserError(f"--track {tool} needs the package {missing[0]}: {how_to_install(extra)}")


@contextmanager
def tracked(
    tools: Sequence[str], out: Path, what: str, settings: Mapping[str, object], fresh: bool = False
) -> Iterator[Tracking]:
    """The trackers of a run whose result is `out`; the same settings go on with the run that was interrupted.

    Parameters
    ----------
    what
        The kind of run, such as "finetune".
    settings
        What decides the result, without paths and ids of images. Lists and the like become text.
    fresh
        Begin another run in any case.

    Raises
    ------
    UserError
        A tool is not installed, or `OUT.tracking` is a folder of somebody else.
    """
    check_tools(tools)
    name = out.absolute().name
    folder = out.absolute().with_name(f"{name}.tracking")
    if tools:
        claim(folder, "what trackers write", [RECORD], list(TOOLS))
    tracking = Tracking(folder, _opened(tools, folder, f"{what} {name}", _plain(settings), fresh) if tools else {})
    done = False
    try:
        yield tracking
        done = True
    finally:
        tracking.close(done)


def _opened(
    tools: Sequence[str], folder: Path, name: str, settings: dict[str, Value], fresh: bool
) -> dict[str, Tracker]:
    found: dict[str, Tracker] = {}
    try:
        run = Run(_run_id(folder, settings, fresh), name, folder, settings | {"dermforge": __version__})
    except OSError as error:
        _warn(folder.name, error)
        return found
    for tool in dict.fromkeys(tools):
        try:
            found[tool] = TOOLS[tool][0](run)
        except Exception as error:  # noqa: BLE001 - as above
            _warn(tool, error)
    return found


def _run_id(folder: Path, settings: Mapping[str, Value], fresh: bool) -> str:
    """The id of the run with these settings that the folder knows last, or of a new one."""
    record, digest = folder / RECORD, hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    if not fresh and record.is_file():
        known = _read(record)
        if known.settings == digest:
            return known.id
    folder.mkdir(parents=True, exist_ok=True)
    made = RunRecord(id=secrets.token_hex(8), settings=digest)
    write_whole(record, sealed_json(made.model_dump_json()))
    return made.id


def _read(record: Path) -> RunRecord:
    remedy = "delete it, and the run is tracked as a new one"
    try:
        return RunRecord.model_validate_json(opened_json(read_regular(record), record, remedy))
    except ValidationError as error:
        raise UserError(f"{record} is no record of a tracked run ({error.errors()[0]['msg']}); {remedy}") from error


def _plain(settings: Mapping[str, object]) -> dict[str, Value]:
    return {k: v if isinstance(v, str | int | float) else json.dumps(v) for k, v in settings.items() if v is not None}


def _warn(name: str, error: Exception) -> None:
    warnings.warn(f"{name}: no tracking from here on ({first_line(error)}); the run goes on", DataWarning, stacklevel=4)
