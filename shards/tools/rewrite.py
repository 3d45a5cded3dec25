"""New shards from old ones, images untouched: select and purge."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermforge.common import id_ranges
from dermforge.common.errors import UserError
from shards.format.commit_local import finish_commits
from shards.format.interop import write_info
from shards.format.reader import ShardSet
from shards.format.schema import Sidecar, canonical_json
from shards.format.writer import ShardSetWriter, write_shard
from shards.tools import croissant
from shards.tools.contact_sheet import SHEET
from shards.tools.datacard import CARD


def select(
    data: ShardSet,
    out: str | Path,
    name: str,
    *,
    shard_size: int = 1000,
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
        out,
        name,
        classes=data.classes,
        shard_size=shard_size,
        lineage=_lineage(data.sidecars),
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
    write_shard(
        location,
        old.name,
        old.index,
        items,
        classes=old.classes,
        plan_digest=old.plan_digest,
        bundle_digest=old.bundle_digest,
        model_digest=old.model_digest,
        lineage=old.lineage,
        replace=True,
    )


def _common(values: Sequence[str | None]) -> str | None:
    return values[0] if len(set(values)) == 1 else None


def _lineage(sidecars: Sequence[Sidecar]) -> list[str]:
    return sorted({entry for sidecar in sidecars for entry in sidecar.lineage})
