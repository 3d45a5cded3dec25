"""The folder that a command writes into: never a stranger's, and replaced whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from dermforge.common.atomic import is_locked, locked
from dermforge.common.errors import UserError

#: A temporary file of `atomic.Pending`; its writer may have been killed.
TEMPORARY = ".*.tmp"


def claim(folder: str | Path, what: str, records: Sequence[str], begun: Sequence[str] = ()) -> None:
    """Refuse a folder that the caller did not make. A missing or an empty one is free to use.

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
    strange = sorted(name for name in names if not _matches(name, (*begun, TEMPORARY)))
    if strange:
        raise UserError(f"{place} holds {strange[0]} and is not {what}: give an empty or a new folder")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder that takes its name only when everything in it is written; what had the name is removed.

    What a killed process left of the same folder is removed first.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    partial, old = (out.parent / f".{out.name}.{word}-{os.getpid()}" for word in ("partial", "old"))
    try:
        partial.mkdir()
        with locked(partial):
            yield partial
            if out.exists():
                out.rename(old)
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _set_aside(old, out)


def remove_leftovers(out: Path) -> None:
    """Remove the partial folders of processes that are dead; a finished folder that one had set aside comes back."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.(partial|old)-\d+")
    for path in [p for p in out.parent.iterdir() if ours.fullmatch(p.name)]:
        if ".old-" in path.name:
            _set_aside(path, out)
        elif not is_locked(path):
            shutil.rmtree(path, ignore_errors=True)


def _set_aside(old: Path, out: Path) -> None:
    """Remove the folder that was replaced, or put it back where the new one never came to its place."""
    if old.exists() and not out.exists():
        old.rename(out)
    shutil.rmtree(old, ignore_errors=True)
