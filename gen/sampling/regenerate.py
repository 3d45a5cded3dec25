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
        There is no run, or it has no such shard.
    CheckFailed
        The new shard has another digest; says how many images differ.
    """
    where = open_storage(location)
    if replace:
        finish_commits(location)
    run, plan = run_record.read(location), run_record.read_plan(location)
    if run is None or plan is None:
        raise UserError(f"{where} has no run.json and plan.csv; only shards that `gen sample` made can be made again")
    if not 0 <= shard < run.shards:
        raise UserError(f"shard {shard} of {where}; expected 0 to {run.shards - 1}")
    with Staging() as scratch:
        made = scratch.path
        job = SamplingJob(made, engine, run.backend, None, run.rows, run.threads, parents, masks, mode_of(run))
        loaded = job.load()
        again = run_record.describe(loaded, plan, run.name, run.shard_size, run.image_format, run.quality)
        run_record.open_run(made, again, plan)
        run_record.withdrawn(location).copy_to(Folder(made))
        job.sample([shard], loaded)
        with turn(location) if replace else nullcontext():
            _compare(where, made, f"{run.name}-{shard:06d}", replace)


def _compare(where: Storage, made: Path, stem: str, replace: bool) -> None:
    record = f"{stem}.json"
    new = Sidecar.from_bytes((made / record).read_bytes(), f"the new {record}")
    try:
        old = Sidecar.from_bytes(where.read(record), f"{where}/{record}") if record in where.names() else None
    except CheckFailed:
        if not replace:
            raise
        old = None
    if old and old.sha256 != new.sha256:
        before = {row.id: row.image_sha256 for row in old.samples}
        changed = [row.id for row in new.samples if before.get(row.id) != row.image_sha256]
        raise CheckFailed(
            f"{where}/{new.tar} has the sha256 {old.sha256[:12]} and the new shard {new.sha256[:12]}: {len(changed)} "
            f"of {new.n} images differ; images are the same only with the same bundle, device, libraries, batch and "
            "threads, and on a GPU torch and ONNX Runtime may choose other kernels at each start (`shards diff` says "
            "by how much)"
        )
    if replace:
        _put(where, made, new)
    elif old is None:
        raise CheckFailed(f"{where}/{record} is missing, so there is nothing to compare the new shard with")


def _put(where: Storage, made: Path, new: Sidecar) -> None:
    if not isinstance(where, Folder):
        upload(made, str(where), new, replace=True)
        return
    with Pending(where.path / new.tar) as file:
        file.write([(made / new.tar).read_bytes()])
        commit_shard(file, new, replace=True)
