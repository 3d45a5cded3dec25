"""Make one shard of a run again, and compare it with its sidecar."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from dermforge.common.atomic import Pending
from dermforge.common.errors import CheckFailed, UserError
from gen.sampling import run_record
from gen.sampling.workers import SamplingJob, mode_of
from shards.format.commit_bucket import upload
from shards.format.commit_local import commit_shard, finish_commits
from shards.format.schema import Sidecar
from shards.format.withdrawn import Withdrawn
from shards.storage.location import Folder, Storage, open_storage
from shards.storage.staging import Staging
from shards.storage.turn import turn


def regenerate(
    location: str | Path,
    shard: int,
    engine: Path,
    parents: str | Path | None = None,
    masks: Path | None = None,
    replace: bool = False,
) -> None:
    """Make one shard of a run again, with the backend, batch rows and threads of its record.

    Images that were withdrawn from the run are not made.

    Parameters
    ----------
    location
        The run's folder or fsspec address.
    engine
        The bundle that the run used.
    parents, masks
        The real images that the plan starts from, and their masks, as they were given to the run.
    replace
        Put the new shard in place of the old one, if it has the digest that the sidecar says or there is no sidecar.

    Raises
    ------
    UserError
        There is no run, it has another plan than its record says or no such shard, or the bundle is another one.
    CheckFailed
        The new shard has another digest; says how many images differ. Or the old one still holds a withdrawn image, or
        the record of a withdrawal is missing: nothing was made.
    """
    where = open_storage(location)
    if replace:
        finish_commits(location)
    run, plan = run_record.read(location), run_record.read_plan(location)
    if run is None or plan is None:
        raise UserError(f"{where} has no run.json and plan.csv; only shards that `gen sample` made can be made again")
    if not 0 <= shard < run.shards:
        raise UserError(f"shard {shard} of {where}; expected 0 to {run.shards - 1}")
    stem = f"{run.name}-{shard:06d}"
    withdrawn = run_record.withdrawn(location)
    _old(where, stem, withdrawn, replace)
    with Staging() as scratch:
        made = scratch.path
        job = SamplingJob(made, engine, run.backend, None, run.rows, run.threads, parents, masks, mode_of(run))
        loaded = job.load()
        if loaded.bundle_digest != run.bundle_digest:
            raise UserError(
                f"{engine} is the bundle {loaded.bundle_digest}, and the run is of {run.bundle_digest}; give that one"
            )
        again = run_record.describe(loaded, plan, run.name, run.shard_size, run.image_format, run.quality, run)
        run_record.open_run(made, again, plan)
        withdrawn.copy_to(Folder(made))
        job.sample([shard], loaded)
        with turn(location) if replace else nullcontext():
            withdrawn = run_record.withdrawn(location)  # again: a purge may have come in between
            new = Sidecar.from_bytes((made / f"{stem}.json").read_bytes(), f"the new {stem}.json")
            _compare(where, _old(where, stem, withdrawn, replace), withdrawn.accepted(where, new))
            if replace:
                _put(where, made, new)


def _old(where: Storage, stem: str, withdrawn: Withdrawn, replace: bool) -> Sidecar | None:
    """What a shard's sidecar says of it; None where it is to be replaced and its sidecar is missing or damaged."""
    record = f"{stem}.json"
    if record not in where.names():
        if replace:
            return None
        raise CheckFailed(f"{where}/{record} is missing, so there is nothing to compare a new shard with")
    try:
        old = Sidecar.from_bytes(where.read(record), f"{where}/{record}")
    except CheckFailed:
        if replace:
            return None
        raise
    for fault in withdrawn.faults(where, [old]):
        raise CheckFailed(fault)
    return old


def _compare(where: Storage, old: Sidecar | None, new: Sidecar) -> None:
    if old and old.sha256 != new.sha256:
        before = {row.id: row.image_sha256 for row in old.samples}
        changed = [row.id for row in new.samples if before.get(row.id) != row.image_sha256]
        raise CheckFailed(
            f"{where}/{new.tar} has the sha256 {old.sha256[:12]} and the new shard {new.sha256[:12]}: {len(changed)} "
            f"of {new.n} images differ; images are the same only with the same bundle, device, libraries, batch and "
            "threads, and on a GPU torch and ONNX Runtime may choose other kernels at each start (`shards diff` says "
            "by how much)"
        )


def _put(where: Storage, made: Path, new: Sidecar) -> None:
    if not isinstance(where, Folder):
        upload(made, str(where), new, replace=True)
        return
    with Pending(where.path / new.tar) as file:
        file.write([(made / new.tar).read_bytes()])
        commit_shard(file, new, replace=True)
