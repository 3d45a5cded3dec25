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

from shards.atomic import Pending
from shards.commit import commit_shard
from shards.errors import CheckFailed, UserError
from shards.reader import ShardSet
from shards.schema import Sidecar


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
    folder: Path, index: int, engine: Path | None, parents: Path | None = None, masks: Path | None = None,
    replace: bool = False,
) -> Difference:
    """Make one shard of a `gen sample` run again, in a process of its own, and compare it with the sidecar.

    Parameters
    ----------
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
    run = _run_record(folder)
    name, shards = str(run["name"]), -(-run["images"] // run["shard_size"])
    if not 0 <= index < shards:
        raise UserError(f"shard {index} of {folder}; expected 0 to {shards - 1}")
    with tempfile.TemporaryDirectory(prefix="dermforge-") as scratch:
        made, given = Path(scratch) / "shards", {"--engine": engine, "--parents": parents, "--masks": masks}
        command = [
            sys.executable, "-c", "from gen.cli import main; main()", "sample", "--shards", str(made), "--plan",
            str(folder / "plan.csv"), "--worker", f"{index}/{shards}", "--name", name, "--shard-size",
            str(run["shard_size"]), "--format", str(run["image_format"]), "--quality", str(run["quality"]),
            "--backend", str(run["backend"]), "--rows", str(run["rows"]),
            *(word for name, path in given.items() if path for word in (name, str(path))),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        stem = f"{name}-{index:06d}"
        if done.returncode or not (made / f"{stem}.json").exists():
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise CheckFailed(f"gen sample could not make {stem}.tar again (exit status {done.returncode}): {last}")
        return _judge(folder, made, stem, replace)


def _judge(folder: Path, made: Path, stem: str, replace: bool) -> Difference:
    new = Sidecar.from_bytes((made / f"{stem}.json").read_bytes(), f"the new {stem}.json")
    record = folder / f"{stem}.json"
    try:
        old = Sidecar.from_bytes(record.read_bytes(), str(record)) if record.exists() else None
    except CheckFailed:
        if not replace:
            raise
        old = None
    if old and old.sha256 != new.sha256:
        ours = {row.id: row.image_sha256 for row in old.samples}
        changed = [row.id for row in new.samples if ours.get(row.id) != row.image_sha256]
        raise CheckFailed(f"{folder / new.tar} has the sha256 {old.sha256[:12]}, made again it has {new.sha256[:12]}: "
                          f"{len(changed)} of {new.n} images differ; images are the same only on the same device, "
                          "libraries and batch (`shards diff --pixels` says by how much)")
    if replace:
        with Pending(folder / new.tar) as file:
            file.write([(made / new.tar).read_bytes()])
            commit_shard(file, new, replace=True)
    elif old is None:
        raise CheckFailed(f"{record} is missing, so there is nothing to compare with; leave out --check to put the "
                          "shard there")
    return Difference()


def _run_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / "run.json").read_bytes())
        return {k: record[k] for k in ("name", "images", "shard_size", "image_format", "quality", "backend", "rows")}
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no run.json; only shards that `gen sample` made can be made again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}/run.json is not the record of a `gen sample` run: {error}") from error
