"""The single file that a command writes: another kind of file at its place is never replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dermforge.common.errors import UserError
from dermforge.common.tables import read_table


def claim_table(path: Path, what: str, columns: Iterable[str]) -> None:
    """Refuse a file that is not a table with these columns, and so not an earlier one of the caller.

    Parameters
    ----------
    what
        What the caller writes, such as "a plan".
    columns
        Some that every table of the caller has, and hardly any other one.

    Raises
    ------
    UserError
        There is a folder, or another file. Nothing was changed.
    """
    refuse_folder(path, what)
    if not path.exists():
        return
    try:
        there = set(read_table(path).columns)
    except UserError:
        there = set()
    if set(columns) - there:
        refuse(path, what)


def refuse_folder(path: Path, what: str) -> None:
    """Refuse a folder in place of a file."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected a file for {what}: give its name too")


def refuse(path: Path, what: str) -> None:
    """Say that there is another file."""
    raise UserError(f"{path} is there already and is not {what}: give another file, or remove that one")
