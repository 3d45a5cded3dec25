"""Remove a real image, and everything made from it, from the shards of a folder or bucket."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermforge.common import atomic, id_ranges
from shards.format.commit_local import finish_commits
from shards.format.interop import write_info
from shards.format.nearby import open_shards
from shards.format.reader import ShardSet
from shards.format.schema import Sidecar
from shards.format.withdrawn import Withdrawal, Withdrawn, merged
from shards.format.writer import write_shard
from shards.storage.location import Folder, Storage
from shards.storage.turn import turn
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
    unrecorded
        What the models of the shards hold without a record of its training images: the real image may be among them.
    described
        Files of `shards card` that still describe the removed images; somebody may have edited them.
    """

    removed: list[tuple[str, str]]
    rewritten: list[str]
    tuned: list[str]
    record: str
    described: list[str]
    unrecorded: list[str]


def purge(location: str | Path, parent: str, signed_off_by: str = "") -> Purge:
    """Withdraw a real image: remove it, the images made from it, and those made from these, from a folder or bucket.

    The record `_purged.ID.json` is written first. Before it nothing has changed; from then on no image that it names is
    read or written there again, by any command, and the same call finishes what was interrupted. A shard without
    remaining images stays as an empty shard. The contact sheet is removed, because it may show the image;
    `samples.csv` and `croissant.json` are updated.

    Raises
    ------
    UserError
        There are no shards, or another process is changing the set.
    CheckFailed
        A shard or a record is damaged. If it is a shard, the image is withdrawn nevertheless.
    """
    where = open_shards(location)
    with turn(location):
        return _purge(location, where, parent, signed_off_by)


def _purge(location: str | Path, where: Storage, parent: str, signed_off_by: str) -> Purge:
    finish_commits(location)
    if isinstance(where, Folder):
        atomic.sweep(where.path, "")
    record = Withdrawal(parent=parent, signed_off_by=signed_off_by, at=_now())
    before = Withdrawn.of(where, purging=parent)
    record = _write(where, record, before)
    data = ShardSet.open(location, purging=True)
    to_remove = _affected(data.sidecars, record)
    tuned = [s.tar for s in data.sidecars if id_ranges.overlap([parent], s.lineage)]
    found = record.model_copy(update={"removed": to_remove, "still_tuned_on_it": tuned})
    record = _write(where, found, Withdrawn([record]))
    if to_remove:
        where.remove(SHEET)
        for number, sidecar in enumerate(data.sidecars):
            if sidecar.tar in to_remove:
                mine = (data.rows["shard"] == number) & ~data.rows["id"].isin(to_remove[sidecar.tar])
                _rewrite(location, sidecar, data.take(np.flatnonzero(mine.to_numpy())))
    write_info(where)
    described: list[str] = []
    if record.removed:
        described = croissant.refresh(ShardSet.open(location, purging=True))
        described += [name for name in (CARD,) if name in where.names()]
    pairs = [(shard, key) for shard, ids in to_remove.items() for key in ids]
    unrecorded = sorted({name for s in data.sidecars for name in id_ranges.without_record(s.lineage)})
    return Purge(pairs, sorted(to_remove), tuned, f"{where}/{record.name}", described, unrecorded)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _write(where: Storage, record: Withdrawal, before: Withdrawn) -> Withdrawal:
    """Write a record with what it said before, if that is anything new; the one who signed first stays."""
    whole = merged(record, before.records)
    if whole not in before.records:
        content = whole.to_bytes()
        where.write(whole.name, content)
        whole = Withdrawal.from_bytes(content, whole.name)
    return whole


def _affected(sidecars: Sequence[Sidecar], record: Withdrawal) -> dict[str, list[str]]:
    """Tar -> ids of the images in it that are withdrawn by the record; looked up in all shards together."""
    gone = Withdrawn([record]).among([row for sidecar in sidecars for row in sidecar.samples])
    found = {sidecar.tar: sorted(row.id for row in sidecar.samples if row.id in gone) for sidecar in sidecars}
    return {shard: ids for shard, ids in found.items() if ids}


def _rewrite(location: str | Path, old: Sidecar, kept: ShardSet) -> None:
    items = ((*kept.at(position), kept.row(position).ext) for position in range(kept.n))
    write_shard(location, old.name, old.index, items, classes=old.classes, provenance=old.provenance, replace=True)
