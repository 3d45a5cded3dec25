"""The record of a run: what decides its bytes, which shards are there, and which are left to make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.atomic import sweep
from dermforge.common.errors import UserError
from dermforge.common.sealed_file import opened_json, sealed_json
from dermforge.common.texts_as_values import whole_number
from engines.engine import Engine
from engines.manifest import CompileMode
from gen.plan.plan import Plan, from_csv
from gen.sampling.certificates import certificates_of
from gen.sampling.plan_changes import rows_that_differ
from shards.format.commit_local import finished
from shards.format.interop import INFO, write_info
from shards.format.provenance import Certificates
from shards.format.reader import ShardSet
from shards.format.schema import NAME_PATTERN, SHARD, created_by
from shards.format.withdrawn import Withdrawn
from shards.storage.claim import claim_set
from shards.storage.location import Folder, Storage, create_storage, is_url, open_storage
from shards.storage.turn import turn
from shards.tools.contact_sheet import SHEET, drawn

RECORD = "run.json"
PLAN = "plan.csv"


class RunRecord(BaseModel):
    """`run.json`: two runs with equal records write equal shards."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    schema_version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN)
    plan_digest: str
    bundle_digest: str
    model_digest: str
    images: int
    shard_size: int = Field(ge=1)
    image_format: Literal["png", "jpg", "webp"]
    quality: int = Field(ge=1, le=100)
    classes: tuple[str, ...]
    backend: str
    precision: str
    rows: int
    threads: int | None = None  # on a CPU; older records have none
    compile_mode: CompileMode | None = None  # of torch on CUDA; older records have none
    certified: bool
    certificates: Certificates | None = None  # those that the run began with; older records have none
    marks: Literal[1] | None = None  # how images are marked; those of older records are not
    phantom: bool
    created_by: str

    @property
    def shards(self) -> int:
        return -(-self.images // self.shard_size)

    def images_in(self, shard: int) -> int:
        """Images of one shard; the last may hold fewer than the others."""
        return min(self.shard_size, self.images - shard * self.shard_size)


#: What may differ without changing a byte.
_HARMLESS = {"created_by", "certified", "phantom"}
#: What older records do not name.
_NEWER = {"threads", "compile_mode", "certificates"}


def describe(
    engine: Engine,
    plan: Plan,
    name: str | None = None,
    shard_size: int = 1000,
    image_format: str = "png",
    quality: int = 95,
    begun: RunRecord | None = None,
) -> RunRecord:
    """The record of a run.

    Parameters
    ----------
    begun
        The run that is resumed, or of which a shard is made again. Its shards name the certificates that it began with,
        and its images are marked as those it has, so that they are the same bytes whatever became of the bundle's
        certificates and of the marks meanwhile.

    Raises
    ------
    UserError
        A name, shard size, format or quality that is not possible.
    """
    spec = engine.spec
    try:
        return RunRecord(
            name=name or ("phantom-synthetic" if spec.phantom else "synthetic"),
            plan_digest=plan.digest,
            bundle_digest=engine.bundle_digest,
            model_digest=engine.model_digest,
            images=len(plan),
            shard_size=shard_size,
            image_format=image_format,  # type: ignore[arg-type]  # pydantic checks it
            quality=quality,
            classes=tuple(sorted(set(spec.classes or ()) | set(plan.frame["class"]))),
            backend=engine.backend,
            precision=engine.precision,
            rows=engine.rows,
            threads=engine.threads,
            compile_mode=engine.compile_mode,
            certified=engine.certified,
            certificates=certificates_of(engine, plan) if begun is None else begun.certificates,
            marks=1 if begun is None else begun.marks,
            phantom=spec.phantom,
            created_by=created_by(),
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", " ")
        reason = first["msg"][0].lower() + first["msg"][1:]  # a pattern in it stays as it is
        raise UserError(f"{name} {first['input']!r} of the run: {reason}") from error


def open_run(location: str | Path, record: RunRecord, plan: Plan, fresh: bool = False) -> None:
    """Make a folder or an fsspec address ready for a run, or for resuming one.

    Parameters
    ----------
    fresh
        Remove the shards of the run that is there, and nothing else.

    Raises
    ------
    UserError
        There is another run (both digests are shown), or the folder holds other files. Nothing is changed.
    """
    where = create_storage(location)
    there, names = read(location), where.names(missing_ok=True)
    if there is None:
        claim_set(location, record.name, [RECORD, PLAN])
    if fresh:
        with turn(location):
            Withdrawn.remembered(where)
            _clear(where, names, there.name if there else record.name)
    elif there is not None:
        _refuse_another(where, there, record, plan)
    elif strange := [n for n in sorted(names) if SHARD.match(n) and n[:-11] == record.name and n.endswith(".tar")]:
        raise UserError(
            f"{where} holds {strange[0]}, and no {RECORD} that says which run it is of; "
            "use another folder, or start again (`fresh`), which removes it"
        )
    where.write(RECORD, sealed_json(record.model_dump_json(indent=1)))  # first: it says which plan belongs here
    where.write(PLAN, plan.csv().encode())


def read(location: str | Path) -> RunRecord | None:
    """The record of the run at a folder or an address, if there is one.

    Raises
    ------
    UserError
        It is damaged, or no record of a run.
    """
    content, remedy = _content(location, RECORD), "put it back from a copy, or remove it and start again (`fresh`)"
    if content is None:
        return None
    try:
        return RunRecord.model_validate_json(opened_json(content, Path(f"{location}/{RECORD}"), remedy))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UserError(f"{location}/{RECORD} is not the record of a run ({reason}); {remedy}") from error


def read_plan(location: str | Path) -> Plan | None:
    """The plan of the run at a folder or an address, if there is one.

    Raises
    ------
    UserError
        It is not the plan that the run's record names, or there is no record.
    """
    content, source = _content(location, PLAN), f"{location}/{PLAN}"
    if content is None:
        return None
    record = read(location)
    if record is None:
        raise UserError(
            f"there is {source}, and no {RECORD} that says whether it was changed; give it as the plan of a new run, "
            "or start again (`fresh`)"
        )
    plan = from_csv(content, source)
    if plan.digest != record.plan_digest:
        differing = rows_that_differ(plan, None, record, open_storage(location))
        raise UserError(
            f"{source} was changed: it has {len(plan)} rows and the digest {plan.digest}, and the run is of "
            f"{record.images} rows and {record.plan_digest} ({differing}); put the run's own plan back, or start again "
            "(`fresh`)"
        )
    return plan


def withdrawn(location: str | Path) -> Withdrawn:
    """What was withdrawn from the run at a folder or an address; every sidecar is asked, those of damaged tars too."""
    if not is_url(location) and not Path(location).is_dir():
        return Withdrawn()
    return Withdrawn.remembered(open_storage(location))


def remaining(location: str | Path, plan: Plan) -> Plan:
    """The plan without the rows of withdrawn images; its digest stays that of the whole plan."""
    gone = withdrawn(location)
    pairs = zip(plan.frame["id"], plan.frame["parent"], strict=True)
    keep = [not gone.holds(key, parent) for key, parent in pairs]
    return plan if all(keep) else replace(plan, frame=plan.frame[keep].reset_index(drop=True))


def todo(location: str | Path, record: RunRecord, worker: tuple[int, int] = (0, 1)) -> list[int]:
    """Numbers of the shards that worker i of n has to make and that are not committed."""
    index, workers = worker
    done = finished(location, record.name)
    for sidecar in done.values():
        if sidecar.plan_digest != record.plan_digest or sidecar.bundle_digest != record.bundle_digest:
            raise UserError(
                f"{location}/{sidecar.tar} is of plan {sidecar.plan_digest} and bundle "
                f"{sidecar.bundle_digest}; this run is of {record.plan_digest} and "
                f"{record.bundle_digest}: use another folder, or start again (`fresh`)"
            )
    return [shard for shard in range(index, record.shards, workers) if shard not in done]


def finish(location: str | Path, record: RunRecord) -> list[int]:
    """Describe the set for timm and draw its contact sheet, once no shard is missing; the numbers of those missing."""
    missing = todo(location, record)
    if not missing:
        where = open_storage(location)
        with turn(location):  # else a purge in between would leave its image in the sheet
            write_info(where)
            where.write(SHEET, drawn(ShardSet.open(location)))
    return missing


def parse_worker(text: str) -> tuple[int, int]:
    """`I/N`, I from 0 to N - 1."""
    first, second = (whole_number(part) for part in text.partition("/")[::2])
    if first is not None and second is not None and first < second:
        return first, second
    raise UserError(f"worker {text!r}; expected I/N with I from 0 to N - 1, as 0/3")


def _refuse_another(where: Storage, there: RunRecord, record: RunRecord, plan: Plan) -> None:
    before, now = there.model_dump(exclude=_HARMLESS), record.model_dump(exclude=_HARMLESS)
    changed = [key for key in before if before[key] != now[key] and (before[key] is not None or key not in _NEWER)]
    if not changed:
        return
    key = next((k for k in ("plan_digest", "bundle_digest") if k in changed), changed[0])
    named = f" ({rows_that_differ(plan, _own_plan(where, there), there, where)})" if key == "plan_digest" else ""
    raise UserError(
        f"{where} holds a run with another {key.replace('_', ' ')}: {_show(before[key])} there, {_show(now[key])} "
        f"now{named}; resume with the same plan, bundle and threads, use another folder, or start again (`fresh`)"
    )


def _own_plan(where: Storage, record: RunRecord) -> Plan | None:
    """The plan that a run has, unless it is missing or was changed."""
    try:
        plan = from_csv(where.read(PLAN), PLAN)
    except (OSError, UserError):
        return None
    return plan if plan.digest == record.plan_digest else None


def _show(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _content(location: str | Path, name: str) -> bytes | None:
    if not is_url(location) and not Path(location).is_dir():
        return None
    where = open_storage(location)
    return where.read(name) if name in where.names(missing_ok=True) else None


def _clear(where: Storage, names: Iterable[str], name: str) -> None:
    mine = [n for n in names if re.fullmatch(rf"{re.escape(name)}-[0-9]{{6}}\.(json|tar|idx)", n)]
    for one in sorted(mine, key=lambda n: not n.endswith(".json")):  # the commit record first
        where.remove(one)
    for extra in (PLAN, RECORD, INFO, SHEET):
        where.remove(extra)
    if isinstance(where, Folder):
        sweep(where.path, name)
