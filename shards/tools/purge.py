"""Remove a real image, and everything made from it, from the shards of a folder or bucket."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermforge.common import id_ranges
from shards.format.commit_local import finish_commits
from shards.format.interop import write_info
from shards.format.reader import ShardSet
from shards.format.schema import Sidecar, canonical_json
from shards.format.writer import write_shard
from shards.tools import croissant
from shards.tools.contact_sheet import SHEET
from shards.tools.datacard import CARD


@dataclass(frozen=True)
class Purge:
    """What a purge did; the record `_purged.ID.json` next to the shards says the same.

    Attributes
    ----------
    removed
        Shard and id of each removed image.
    rewritten
        Shards from which images were removed.
    tuned
        Remaining shards of a model that was trained on the real image.
    described
        Files of `shards card` that still describe the removed images; somebody may have edited them.
    """

    removed: list[tuple[str, str]]
    rewritten: list[str]
    tuned: list[str]
    record: str | None
    described: list[str]


def purge(location: str | Path, parent: str, signed_off_by: str = "") -> Purge:
    """Remove a real image, the images made from it, and those made from these, from a folder or bucket of shards.

    A shard without remaining images stays as an empty shard, so that a resumed run does not make it again. After an
    interruption, the same call finishes the purge. The contact sheet is removed, because it may show the image;
    `samples.csv` and `croissant.json` are updated.
    """
    finish_commits(location)
    data = ShardSet.open(location)
    where, names = data.storage, data.storage.names()
    to_remove = _affected(data, descendants(data, parent))
    tuned = [s.tar for s in data.sidecars if id_ranges.overlap([parent], s.lineage)]
    record = f"_purged.{parent}.json"
    if to_remove:  # the record first, so that an interruption loses no id
        before = json.loads(where.read(record))["removed"] if record in names else {}
        removed = {tar: sorted({*before.get(tar, ()), *to_remove.get(tar, ())}) for tar in before | to_remove}
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        facts = {"parent": parent, "signed_off_by": signed_off_by, "still_tuned_on_it": tuned, "removed": removed}
        where.write(record, canonical_json(facts | {"at": now}) + b"\n")
        where.remove(SHEET)
        for number, sidecar in enumerate(data.sidecars):
            if sidecar.tar in to_remove:
                mine = (data.rows["shard"] == number) & ~data.rows["id"].isin(to_remove[sidecar.tar])
                _rewrite(location, sidecar, data.take(np.flatnonzero(mine.to_numpy())))
    elif record not in names:
        return Purge([], [], tuned, None, [])
    write_info(where)
    stale = croissant.refresh(ShardSet.open(location)) + [name for name in (CARD,) if to_remove and name in names]
    pairs = [(shard, key) for shard, ids in to_remove.items() for key in ids]
    return Purge(pairs, sorted(to_remove), tuned, f"{where}/{record}", stale)


def _affected(data: ShardSet, family: Collection[str]) -> dict[str, list[str]]:
    """Tar -> the ids of the family in it."""
    found = {s.tar: sorted(row.id for row in s.samples if row.id in family) for s in data.sidecars}
    return {shard: ids for shard, ids in found.items() if ids}


def descendants(data: ShardSet, id: str) -> set[str]:
    """The id, the ids of images made from it, of those made from these, and so on."""
    children: dict[str, list[str]] = {}
    for key, parent in zip(data.rows["id"], data.rows["parent"], strict=True):
        children.setdefault(parent, []).append(key)
    family, new = {id}, [id]
    while new:
        new = [child for one in new for child in children.get(one, ()) if child not in family]
        family.update(new)
    return family


def _rewrite(location: str | Path, old: Sidecar, kept: ShardSet) -> None:
    items = ((*kept.at(position), kept.row(position).ext) for position in range(kept.n))
    write_shard(location, old.name, old.index, items, classes=old.classes, provenance=old.provenance, replace=True)
