"""Which folders and addresses may become a shard set: none that holds another one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from dermforge.common import output_folder
from dermforge.common.errors import UserError
from shards.storage.location import Storage, create_storage, is_url, open_storage
from shards.storage.turn import LOCKS, turn

_NUMBER = "-[0-9][0-9][0-9][0-9][0-9][0-9]"
_KINDS = ("json", "tar")
#: The records of withdrawn images (`shards.format.withdrawn`), which stay when everything else of a set is gone.
WITHDRAWN = "_purged.*.json"


def claim_set(location: str | Path, names: str | Sequence[str], records: Sequence[str] = ()) -> None:
    """Refuse a place that holds shards of other names, or files but neither own shards nor one of `records`.

    Parameters
    ----------
    names
        How the caller's shards are called, as `train` of train-000000.tar. A shard of another name is of another set:
        whoever opens the folder afterwards would take both for one.
    records
        File names by which the caller knows a folder that it made.

    Raises
    ------
    UserError
        See `output_folder.claim`.
    """
    if not is_url(location) and not Path(location).is_dir():
        return output_folder.claim(location, "a shard set", [])
    there = open_storage(location).names(missing_ok=True) if is_url(location) else os.listdir(location)
    names = [names] if isinstance(names, str) else names
    own = [f"{name}{_NUMBER}.{kind}" for name in names for kind in _KINDS]
    others = [one for one in there if _is(one, [f"*{_NUMBER}.{kind}" for kind in _KINDS]) and not _is(one, own)]
    if others:
        called = " or ".join(f"{name}-000000.tar" for name in names)
        raise UserError(
            f"{location} holds {min(others)}, which is of another set than {called}: give an empty or a new folder"
        )
    output_folder.claim_names(location, there, "a shard set", [*own, WITHDRAWN, *records], [LOCKS])


@contextmanager
def claimed_set(location: str | Path, names: str | Sequence[str], records: Sequence[str] = ()) -> Iterator[Storage]:
    """Claim a place for a set, as `claim_set`, and be the only one who writes there; it is created.

    Raises
    ------
    UserError
        See `claim_set`; or another process is writing there.
    """
    claim_set(location, names, records)
    where = create_storage(location)
    with turn(location):
        claim_set(location, names, records)  # another process may have begun another set meanwhile
        yield where


def _is(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
