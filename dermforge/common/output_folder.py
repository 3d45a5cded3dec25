"""The folder that a command writes into: never a stranger's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from dermforge.common.errors import UserError
from dermforge.common.whole_folder import TEMPORARY, recover


def claim(folder: str | Path, what: str, records: Sequence[str], begun: Sequence[str] = ()) -> None:
    """Refuse a folder that the caller did not make. A missing or an empty one is free to use.

    A folder that lost its name when a process ended while it replaced it has it again first: see `whole_folder`.

    Parameters
    ----------
    what
        What the caller writes, such as "an engine bundle".
    records
        Name patterns of the files by which the caller knows a folder that it made.
    begun
        Name patterns of what is there before any record; a folder that holds nothing else was left by a killed caller.

    Raises
    ------
    UserError
        There is a file in place of the folder, or the folder holds other files and no record. Nothing was changed.
    """
    place = Path(folder)
    recover(place)
    if place.is_dir():
        claim_names(folder, os.listdir(place), what, records, begun)
    elif place.exists():
        raise UserError(f"{folder} is a file; expected a folder for {what}: give another one")


def claim_names(
    place: object, names: Iterable[str], what: str, records: Sequence[str], begun: Sequence[str] = ()
) -> None:
    """`claim` for a place of which only the file names are known, such as a bucket."""
    if any(_matches(name, records) for name in names):
        return
    strange = sorted(name for name in names if not _matches(name, (*begun, *TEMPORARY)))
    if strange:
        raise UserError(f"{place} holds {strange[0]} and is not {what}: give an empty or a new folder")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
