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
def whole_folder(out: Path, job: str | None = None) -> Iterator[Path]:
    """A folder that takes its name only when everything in it is written; what had the name is removed.

    Parameters
    ----------
    job
        A digest of everything that the content depends on, in letters and numbers. What a killed process left of the
        same job is in the folder then, and its finished parts can be used. Without it the folder is empty.

    Notes
    -----
    What killed processes left of other jobs at the same place is removed first. An error removes the folder.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (out.parent / f".{out.name}.{word}-{os.getpid()}" for word in ("partial", "old"))
    if job is not None:
        partial = partial.with_name(f"{partial.name}-{job}")
    try:
        _adopt(out, partial, job)
        with locked(partial):
            yield partial
            if out.exists():
                out.rename(old)
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _set_aside(old, out)


def _adopt(out: Path, partial: Path, job: str | None) -> None:
    """Make the partial folder, of what a dead process left of the same job if there is any; remove the rest."""
    remove_leftovers(out, keep=job)
    left = [p for p in _leftovers(out) if not is_locked(p) and _job(p) == job] if job is not None else []
    if left:
        left[0].rename(partial)
        for path in partial.rglob(TEMPORARY):
            path.unlink()
    else:
        partial.mkdir()


def remove_leftovers(out: Path, keep: str | None = None) -> None:
    """Remove the partial folders of processes that are dead; a finished folder that one had set aside comes back.

    Parameters
    ----------
    keep
        The job whose partial folder stays.
    """
    for path in _leftovers(out):
        if ".old-" in path.name:
            _set_aside(path, out)
        elif not is_locked(path) and (keep is None or _job(path) != keep):
            shutil.rmtree(path, ignore_errors=True)


def _leftovers(out: Path) -> list[Path]:
    ours = re.compile(rf"\.{re.escape(out.name)}\.(partial|old)-\d+(-\w+)?")
    return sorted(p for p in out.parent.iterdir() if ours.fullmatch(p.name))


def _job(partial: Path) -> str | None:
    """The job that a partial folder belongs to."""
    found = re.search(r"\.partial-\d+-(\w+)$", partial.name)
    return found[1] if found else None


def _set_aside(old: Path, out: Path) -> None:
    """Remove the folder that was replaced, or put it back where the new one never came to its place."""
    if old.exists() and not out.exists():
        old.rename(out)
    shutil.rmtree(old, ignore_errors=True)
