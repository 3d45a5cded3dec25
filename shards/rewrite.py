"""New shards from old ones, images untouched: select, purge, repair."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from shards import atomic, tar
from shards.errors import CheckFailed, UserError
from shards.images import decode_image
from shards.places import Folder
from shards.reader import SHARD, ShardSet
from shards.schema import IMAGE_EXTENSIONS, Sample, Sidecar, canonical_json
from shards.verify import check_deeply
from shards.writer import ShardSetWriter, dali_index, make_folder, write_info, write_shard


def select(
    data: ShardSet, out: Path, name: str, *, shard_size: int = 1000,
    scores: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Sidecar]:
    """Copy the images of a view into new shards, encoded as they are.

    Parameters
    ----------
    scores
        Id -> name -> value, to be added to what the samples say of themselves.
    """
    if not data.n:
        raise UserError(f"no image of {data} meets the conditions; loosen them")
    order = data.rows["id"].argsort().to_numpy()
    with ShardSetWriter(
        out, name, classes=data.classes, shard_size=shard_size, lineage=_lineage(data.sidecars),
        plan_digest=_common([s.plan_digest for s in data.sidecars]),
        bundle_digest=_common([s.bundle_digest for s in data.sidecars]),
        model_digest=_common([s.model_digest for s in data.sidecars]),
    ) as writer:
        for position in order:
            sample, image = data.at(int(position), verify=True)
            if scores and sample.id in scores:
                sample = sample.model_copy(update={"scores": sample.scores | dict(scores[sample.id])})
            writer.add(sample, image, data.row(int(position)).ext)
    return writer.sidecars


@dataclass(frozen=True)
class Purge:
    """What a purge did; also in `_purged.ID.json` beside the shards.

    Attributes
    ----------
    removed
        Shard and id of each image that went.
    tuned
        Shards that are still there, of a model that was tuned on the image.
    """

    removed: list[tuple[str, str]]
    rewritten: list[str]
    tuned: list[str]
    record: Path | None


def purge(folder: Path, parent: str, signed_off_by: str = "") -> Purge:
    """Remove a real image and everything made from it from the shards of a folder.

    A shard of which nothing is left stays as an empty one, so that going on with the run does not make it again.
    Cut off in the middle, the same call goes on.
    """
    finish_replacements(folder)
    data = ShardSet.open(folder)
    going = {
        sidecar.tar: sorted(row.id for row in sidecar.samples if parent in (row.id, row.parent))
        for sidecar in data.sidecars
    }
    going = {shard: ids for shard, ids in going.items() if ids}
    tuned = [s.tar for s in data.sidecars if parent in s.lineage]
    if not going:
        return Purge([], [], tuned, None)
    record = folder / f"_purged.{parent}.json"  # written first, so that being cut off loses none of the list
    before = json.loads(record.read_bytes())["removed"] if record.exists() else {}
    content = {
        "parent": parent, "signed_off_by": signed_off_by, "removed": before | going, "still_tuned_on_it": tuned,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    atomic.write_whole(record, canonical_json(content) + b"\n")
    for number, sidecar in enumerate(data.sidecars):
        if sidecar.tar in going:
            mine = (data.rows["shard"] == number) & ~data.rows["id"].isin(going[sidecar.tar])
            _rewrite(folder, sidecar, data.take(np.flatnonzero(mine.to_numpy())))
    write_info(folder)
    return Purge([(shard, key) for shard, ids in going.items() for key in ids], sorted(going), tuned, record)


def _rewrite(folder: Path, old: Sidecar, kept: ShardSet) -> None:
    items = ((*kept.at(position), kept.row(position).ext) for position in range(kept.n))
    write_shard(
        folder, old.name, old.index, items, classes=old.classes, plan_digest=old.plan_digest,
        bundle_digest=old.bundle_digest, model_digest=old.model_digest, lineage=old.lineage, replace=True,
    )


def finish_replacements(folder: Path) -> list[str]:
    """Complete what a killed writer began: a tar in its place, its new sidecar still under a temporary name."""
    finished = []
    for path in atomic.leftovers(folder):
        if ".json." not in path.name:
            continue
        try:
            sidecar = Sidecar.from_bytes(path.read_bytes(), str(path))
        except CheckFailed:
            continue
        shard = folder / sidecar.tar
        if shard.exists() and _sha256(shard) == sidecar.sha256:
            atomic.write_whole(folder / f"{sidecar.stem}.idx", dali_index(sidecar))
            path.replace(folder / f"{sidecar.stem}.json")
            atomic.sync_folder(folder)
            finished.append(sidecar.tar)
    return finished


@dataclass(frozen=True)
class Repair:
    """What came out of one torn shard.

    Attributes
    ----------
    lost
        Ids that the sidecar lists and that are not whole; None where there was no sidecar to say.
    """

    shard: str
    saved: int
    lost: list[str] | None


def repair(folder: Path, out: Path, classes: Sequence[str] = ()) -> list[Repair]:
    """Save the whole samples of every faulty shard of `folder` into new shards in `out`; the old ones stay.

    Parameters
    ----------
    classes
        What the numbers in `cls` mean, where no sidecar is left to say.
    """
    if out.resolve() == folder.resolve():
        raise UserError(f"{out} is the folder with the torn shards; give another one, so that nothing is overwritten")
    finish_replacements(folder)
    names = Folder(folder).names()
    tars = sorted(name for name in names if SHARD.match(name) and name.endswith(".tar"))
    sidecars = {name: _readable_sidecar(folder / name) for name in tars}
    known = next((s.classes for s in sidecars.values() if s), list(classes))
    results = []
    for name, sidecar in sidecars.items():
        if sidecar and not check_deeply(folder / name, sidecar)[0]:
            continue
        saved = salvage((folder / name).read_bytes(), known)
        stem, index = name[:-4].rsplit("-", 1)
        if saved:
            labels = sidecar.classes if sidecar else known or sorted({sample.label for sample, _, _ in saved})
            make_folder(out)
            write_shard(
                out, stem, int(index), saved, classes=labels,
                plan_digest=_common([s.plan_digest for s, _, _ in saved]),
                bundle_digest=_common([s.bundle_digest for s, _, _ in saved]),
                model_digest=_common([s.model_digest for s, _, _ in saved]),
                lineage=sidecar.lineage if sidecar else (),
            )
        kept = {sample.id for sample, _, _ in saved}
        lost = [row.id for row in sidecar.samples if row.id not in kept] if sidecar else None
        results.append(Repair(name, len(saved), lost))
    if results and out.is_dir():
        write_info(out)
        report = {r.shard: {"saved": r.saved, "lost": r.lost} for r in results}
        atomic.write_whole(out / "_repaired.json", canonical_json(report) + b"\n")
    return results


def salvage(archive: bytes, classes: Sequence[str] = ()) -> list[tuple[Sample, bytes, str]]:
    """The samples of a damaged tar of which every byte can be vouched for, in order of their ids.

    Headers are looked for at every block, so one bad stretch costs only the samples that it touches. A sample
    counts if its three members are there, the image has the digest that the JSON says and can be decoded, and the
    number in `cls` (where `classes` are known) agrees.
    """
    members = _members(archive)
    found: dict[str, tuple[Sample, bytes, str]] = {}
    for key, parts in members.items():
        image_ext = next((ext for ext in IMAGE_EXTENSIONS if ext in parts), None)
        if image_ext is None or not {"cls", "json"} < set(parts):
            continue
        image = parts[image_ext]
        try:
            sample = Sample.model_validate_json(parts["json"])
            decode_image(image)
        except (ValidationError, UserError):
            continue
        whole = sample.id == key and hashlib.sha256(image).hexdigest() == sample.image_sha256
        agrees = not classes or (sample.label in classes and parts["cls"] == str(classes.index(sample.label)).encode())
        if whole and agrees:
            found[key] = (sample, image, image_ext)
    formats = [ext for _, _, ext in found.values()]
    common = max(set(formats), key=formats.count) if formats else ""
    return [found[key] for key in sorted(found) if found[key][2] == common]


def _members(archive: bytes) -> dict[str, dict[str, bytes]]:
    members: dict[str, dict[str, bytes]] = {}
    at = 0
    while at + tar.BLOCK <= len(archive):
        parsed = tar.parse(archive[at : at + tar.BLOCK])
        if parsed is None or at + tar.BLOCK + parsed[1] > len(archive):
            at += tar.BLOCK
            continue
        name, size = parsed
        key, _, ext = name.partition(".")
        start = at + tar.BLOCK
        members.setdefault(key, {}).setdefault(ext, archive[start : start + size])
        at = start + size + len(tar.padding(size))
    return members


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _readable_sidecar(path: Path) -> Sidecar | None:
    try:
        record = path.with_suffix(".json")
        return Sidecar.from_bytes(record.read_bytes(), str(record))
    except (FileNotFoundError, CheckFailed):
        return None


def _common(values: Sequence[str | None]) -> str | None:
    return values[0] if len(set(values)) == 1 else None


def _lineage(sidecars: Sequence[Sidecar]) -> list[str]:
    return sorted({entry for sidecar in sidecars for entry in sidecar.lineage})
