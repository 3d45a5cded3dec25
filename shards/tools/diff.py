"""Two sets of images compared id by id, and a shard compared with one made again."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dermforge.common.atomic import Pending
from dermforge.common.errors import CheckFailed, UserError
from shards.format.commit_local import commit_shard
from shards.format.reader import ShardSet
from shards.format.schema import Sidecar
from shards.storage.location import Folder, Place, place


@dataclass
class Difference:
    """What two sets do not share.

    Attributes
    ----------
    images, records
        Ids whose encoded image, whose JSON but not image, differs.
    largest
        Largest difference of a pixel value among `images`, 0 to 255; NaN where none was decoded.
    """

    only_first: list[str] = field(default_factory=list)
    only_second: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    largest: float = float("nan")

    @property
    def same(self) -> bool:
        return not (self.only_first or self.only_second or self.images or self.records)


def diff(first: ShardSet, second: ShardSet, pixels: bool = False) -> Difference:
    """Compare by id; `pixels` decodes the images that differ."""
    found = Difference()
    ids = [set(data.rows["id"]) for data in (first, second)]
    found.only_first, found.only_second = sorted(ids[0] - ids[1]), sorted(ids[1] - ids[0])
    for key in sorted(ids[0] & ids[1]):
        (one, a), (two, b) = first.read(key), second.read(key)
        if a != b:
            found.images.append(key)
            if pixels:
                x, y = (data.image_at(data.position(key))[1].astype(np.int16) for data in (first, second))
                largest = float(np.abs(x - y).max()) if x.shape == y.shape else 255.0
                found.largest = largest if np.isnan(found.largest) else max(found.largest, largest)
        elif one != two:
            found.records.append(key)
    return found


def regenerate(
    location: str | Path,
    index: int,
    engine: Path | None,
    parents: str | Path | None = None,
    masks: Path | None = None,
    replace: bool = False,
) -> Difference:
    """Make one shard of a `gen sample` run again, in a process of its own, and compare it with the sidecar.

    Parameters
    ----------
    location
        The run's folder or fsspec address.
    engine
        The bundle that the run used; None takes gen's default.
    parents, masks
        The real images that the plan starts from, and their masks, as they were given to the run.
    replace
        Put the new shard in place of the old one, which must have been damaged: the new one must have the
        digest that the sidecar says, or there must be no sidecar.

    Raises
    ------
    CheckFailed
        The new shard has another digest; says how many images differ and by how much.
    """
    where = place(location)
    run = _run_record(where)
    name, shards = str(run["name"]), -(-run["images"] // run["shard_size"])
    if not 0 <= index < shards:
        raise UserError(f"shard {index} of {where}; expected 0 to {shards - 1}")
    with tempfile.TemporaryDirectory(prefix="dermforge-") as scratch:
        made, plan = Path(scratch) / "shards", Path(scratch) / "plan.csv"
        plan.write_bytes(where.read("plan.csv"))
        given = {"--engine": engine, "--parents": parents, "--masks": masks}
        command = [
            sys.executable,
            "-c",
            "from gen.cli import main; main()",
            "sample",
            "--shards",
            str(made),
            "--plan",
            str(plan),
            "--worker",
            f"{index}/{shards}",
            "--name",
            name,
            "--shard-size",
            str(run["shard_size"]),
            "--format",
            str(run["image_format"]),
            "--quality",
            str(run["quality"]),
            "--backend",
            str(run["backend"]),
            "--rows",
            str(run["rows"]),
            *(("--threads", str(run["threads"])) if run["threads"] else ()),
            *(word for name, path in given.items() if path for word in (name, str(path))),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        stem = f"{name}-{index:06d}"
        if done.returncode or not (made / f"{stem}.json").exists():
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise CheckFailed(f"gen sample could not make {stem}.tar again (exit status {done.returncode}): {last}")
        return _judge(where, made, stem, replace)


def _judge(where: Place, made: Path, stem: str, replace: bool) -> Difference:
    new = Sidecar.from_bytes((made / f"{stem}.json").read_bytes(), f"the new {stem}.json")
    record = f"{stem}.json"
    try:
        old = Sidecar.from_bytes(where.read(record), f"{where}/{record}") if record in where.names() else None
    except CheckFailed:
        if not replace:
            raise
        old = None
    if old and old.sha256 != new.sha256:
        ours = {row.id: row.image_sha256 for row in old.samples}
        changed = [row.id for row in new.samples if ours.get(row.id) != row.image_sha256]
        raise CheckFailed(
            f"{where}/{new.tar} has the sha256 {old.sha256[:12]}, made again it has {new.sha256[:12]}: "
            f"{len(changed)} of {new.n} images differ; images are the same only on the same device, "
            "libraries, batch and threads (`shards diff --pixels` says by how much)"
        )
    if replace:
        _put(where, made, new)
    elif old is None:
        raise CheckFailed(
            f"{where}/{record} is missing, so there is nothing to compare with; leave out --check to put "
            "the shard there"
        )
    return Difference()


def _put(where: Place, made: Path, new: Sidecar) -> None:
    if not isinstance(where, Folder):
        from shards.format.commit_bucket import upload

        upload(made, str(where), new, replace=True)
        return
    with Pending(where.path / new.tar) as file:
        file.write([(made / new.tar).read_bytes()])
        commit_shard(file, new, replace=True)


def _run_record(where: Place) -> dict[str, Any]:
    if not {"run.json", "plan.csv"} <= set(where.names()):
        raise UserError(f"{where} has no run.json and plan.csv; only shards that `gen sample` made can be made again")
    content = where.read("run.json")
    try:
        record = json.loads(content)
        keys = ("name", "images", "shard_size", "image_format", "quality", "backend", "rows")
        return {key: record[key] for key in keys} | {"threads": record.get("threads")}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{where}/run.json is not the record of a `gen sample` run: {error}") from error
