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
    """What a purge did; also in `_purged.ID.json` beside the shards.

    Attributes
    ----------
    removed
        Shard and id of each image that went.
    tuned
        Shards that are still there, of a model that was tuned on the image.
    described
        Files of `shards card` that still count the images: the card, in which somebody may have written.
    """

    removed: list[tuple[str, str]]
    rewritten: list[str]
    tuned: list[str]
    record: str | None
    described: list[str]


def purge(location: str | Path, parent: str, signed_off_by: str = "") -> Purge:
    """Remove a real image and everything made from it, or from that, from the shards of a folder or bucket.

    A shard of which nothing is left stays as an empty one, so that going on with the run does not make it again.
    Cut off in the middle, the same call goes on. A contact sheet beside the shards goes too: it may show the image;
    `samples.csv` and `croissant.json` are written anew.
    """
    finish_commits(location)
    data = ShardSet.open(location)
    where, names = data.place, data.place.names()
    going = _going(data, descendants(data, parent))
    tuned = [s.tar for s in data.sidecars if id_ranges.overlap([parent], s.lineage)]
    record = f"_purged.{parent}.json"
    if going:  # the record first, so that being cut off loses none of the list
        before = json.loads(where.read(record))["removed"] if record in names else {}
        where.write(
            record,
            canonical_json(
                {
                    "parent": parent,
                    "signed_off_by": signed_off_by,
                    "still_tuned_on_it": tuned,
                    "removed": {
                        shard: sorted({*before.get(shard, ()), *going.get(shard, ())}) for shard in before | going
                    },
                    "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                }
            )
            + b"\n",
        )
        where.remove(SHEET)
        for number, sidecar in enumerate(data.sidecars):
            if sidecar.tar in going:
                mine = (data.rows["shard"] == number) & ~data.rows["id"].isin(going[sidecar.tar])
                _rewrite(location, sidecar, data.take(np.flatnonzero(mine.to_numpy())))
    elif record not in names:
        return Purge([], [], tuned, None, [])
    write_info(where)
    stale = croissant.refresh(ShardSet.open(location)) + [name for name in (CARD,) if going and name in names]
    removed = [(shard, key) for shard, ids in going.items() for key in ids]
    return Purge(removed, sorted(going), tuned, f"{where}/{record}", stale)


def _going(data: ShardSet, family: Collection[str]) -> dict[str, list[str]]:
    """Tar -> ids of the family in it."""
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
