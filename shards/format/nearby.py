"""What to say of a place that holds no shards: often the sets lie one folder below."""

from __future__ import annotations

from pathlib import Path

from dermforge.common.errors import UserError
from shards.format.schema import SHARD, SPLITS
from shards.storage.location import Storage, address, is_url, open_storage


def sets_below(location: str | Path) -> list[str]:
    """The folders in a folder that hold shards, such as data/train in data; of an address only the splits are tried."""
    if is_url(location):
        parts = [f"{address(location).rstrip('/')}/{split}" for split in SPLITS]
        return [part for part in parts if any(map(SHARD.match, open_storage(part).names(missing_ok=True)))]
    path = Path(location)
    if not path.is_dir():
        return []
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
    return [str(folder) for folder in folders if any(SHARD.match(entry.name) for entry in folder.iterdir())]


def no_shards(location: str | Path) -> str:
    """A message that names the sets below the location, if there are any, or how to make some."""
    if below := sets_below(location):
        return (
            f"{location} holds no shards itself, but {', '.join(below)} {'does' if len(below) == 1 else 'do'}; give one"
        )
    return f"{location} holds no shards (name-000000.tar with name-000000.json); `shards make` turns images into shards"


def open_shards(location: str | Path) -> Storage:
    """The folder or bucket, which holds at least one shard.

    Raises
    ------
    UserError
        It holds none.
    """
    where = open_storage(location)
    if not any(map(SHARD.match, where.names())):
        raise UserError(no_shards(location))
    return where
