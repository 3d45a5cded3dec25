"""A shard set, or a folder of several such as train/, validation/ and test/, opened as one."""

from __future__ import annotations

from pathlib import Path

from dermforge.common.errors import CheckFailed, UserError
from shards.format.nearby import no_shards, sets_below
from shards.format.reader import ShardSet
from shards.format.schema import SHARD, Sidecar
from shards.storage.location import Folder, address, is_url


class PlacedSidecar(Sidecar):
    """The sidecar of a shard that lies in a folder of the set."""

    folder: str

    @property
    def tar(self) -> str:
        return f"{self.folder}/{self.stem}.tar"


def folders_of(location: str | Path) -> list[str]:
    """The folders below a location that hold its shards; "" for those that lie in it.

    Raises
    ------
    UserError
        It is an address, it is not there, or there are no shards in it.
    """
    if is_url(location):
        raise UserError(f"{address(location)} is an address; copy the set into a folder first (`shards select`)")
    where = Folder(Path(location))
    if any(map(SHARD.match, where.names())):
        return [""]
    if not (below := [Path(one).name for one in sets_below(location)]):
        raise UserError(no_shards(location))
    return below


def open_whole(location: str | Path) -> ShardSet:
    """All shards of a folder, or of the sets below it, as one set; the names of its tars begin with their folder.

    Raises
    ------
    UserError
        As `folders_of`.
    CheckFailed
        As `ShardSet.open`; or two sets have different classes or share an id.
    """
    folders = folders_of(location)
    if folders == [""]:
        return ShardSet.open(location)
    sets = {folder: ShardSet.open(Path(location) / folder) for folder in folders}
    first = next(iter(sets.values()))
    if strange := next((one for one in sets.values() if one.classes != first.classes), None):
        raise CheckFailed(f"{strange} and {first} have different classes; push them apart")
    fields = list(Sidecar.model_fields)
    placed = [
        PlacedSidecar.model_construct(**{name: getattr(one, name) for name in fields}, folder=folder)
        for folder, data in sets.items()
        for one in data.sidecars
    ]
    whole = ShardSet(Folder(Path(location)), placed, first.classes)
    if (twice := whole.rows["id"][whole.rows["id"].duplicated()]).size:
        raise CheckFailed(f"{location}: the image {twice.iloc[0]!r} is in two of its sets; no image may be in both")
    return whole
