"""What the rows of a table say by a recipe: joined with other tables, left out by a condition, and their class."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from dermforge.common.errors import UserError
from dermforge.common.missing import is_missing
from dermforge.common.tables import as_text, read_table
from shards.ingest.files.walk import File
from shards.ingest.tables.columns import folded
from shards.ingest.tables.recipe import Recipe, matches

Row = Mapping[str, str | None]
_NESTED = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_CONDITION = re.compile(r"\s*(.+?)\s*(!=|=)\s*(.*?)\s*")


def joined(
    frame: pd.DataFrame, joins: Iterable[str], tables: Sequence[File], optional: Iterable[str], notes: list[str]
) -> tuple[pd.DataFrame, list[File]]:
    """The table with the columns of others where a key is the same, and the tables that were read for it.

    Keys are compared as text, so that whole numbers of any length stay apart.

    Parameters
    ----------
    joins
        `TABLE:KEY`, with a path or a pattern of the name of a table.
    optional
        Those of `joins` whose table may be missing; a note says so.

    Raises
    ------
    UserError
        There is no such table or key, a key is there twice, or most keys have no row there.
    """
    read: list[File] = []
    for join in joins:
        pattern, _, key = join.rpartition(":")
        found = [File(pattern, Path(pattern))] if Path(pattern).is_file() else []
        found = found or [file for file in tables if matches(file.name, [pattern])]
        if not found and join in set(optional):
            notes.append(f"there is no table {pattern}, whose columns by {key} this data set has")
            continue
        if len(found) != 1 or not key:
            names = ", ".join(file.place for file in found or tables) or "there is none"
            raise UserError(f"join {join!r}: expected TABLE:KEY with one table; {names}")
        frame = _join(frame, as_text(read_table(found[0].path)), key, found[0])
        read.append(found[0])
    return frame, read


def _join(frame: pd.DataFrame, other: pd.DataFrame, key: str, file: File) -> pd.DataFrame:
    ours, theirs = (
        next((name for name in table.columns if folded(name) == folded(key)), None) for table in (frame, other)
    )
    if ours is None or theirs is None:
        lacking = file.place if theirs is None else "the table of pictures"
        has = ", ".join((other if theirs is None else frame).columns)
        raise UserError(f"join by {key!r}: {lacking} has no such column (it has {has})")
    known = other[other[theirs].notna()]
    if twice := known.loc[known[theirs].duplicated(), theirs].tolist():
        raise UserError(f"join by {key!r}: {file.place} has {twice[0]!r} twice; expected one row each")
    have = set(known[theirs])
    lost = [value for value in frame[ours] if value not in have]
    if len(lost) > len(frame) / 2:
        raise UserError(
            f"join by {key!r}: {len(lost)} of {len(frame)} keys are not in {file.place} (the first is {lost[0]!r}, one "
            f"there is {min(have, default='none')!r})"
        )
    there = {folded(name) for name in frame.columns}
    more = known[[theirs, *(name for name in known.columns if folded(name) not in there)]].rename(
        columns={theirs: ours}
    )
    merged = frame.merge(more, on=ours, how="left")
    return merged.astype(object).where(merged.notna(), None)


def left_out(row: Row, conditions: Iterable[str], required: bool) -> str:
    """Why a row is left out; "" if it meets every condition.

    Raises
    ------
    UserError
        A condition is none, or names a column that is not there and is `required`.
    """
    by_key = {folded(name): cell for name, cell in row.items()}
    for condition in conditions:
        parts = _CONDITION.fullmatch(condition)
        if parts is None:
            raise UserError(f"condition {condition!r}; expected COLUMN=VALUE or COLUMN!=VALUE")
        name, sign, words = parts.groups()
        if folded(name) not in by_key:
            if required:
                raise UserError(f"condition {condition!r}: there is no column {name!r} (there are {', '.join(row)})")
            continue
        cell = (by_key[folded(name)] or "").strip()
        is_one = cell.casefold() in [word.strip().casefold() for word in words.split("|")]
        if is_one == (sign == "!="):
            return f"left out: its {name} is {cell or 'empty'}"
    return ""


def class_of(row: Row, column: str | None, recipe: Recipe) -> tuple[str | None, str]:
    """The class of a row and, where it cannot be told, why.

    Parameters
    ----------
    column
        The column of the class, None where the recipe has one-hot columns.
    """
    if recipe.onehot:
        by_key = {folded(name): cell for name, cell in row.items()}
        ones = [name for name in recipe.onehot if _is_one(by_key.get(folded(name)))]
        if strange := [cell for name in recipe.onehot if not _is_binary(cell := by_key.get(folded(name)))]:
            return None, f"has {strange[0]!r} in a column of a class; expected 0 or 1"
        if len(ones) > 1:
            return None, f"is of several classes: {', '.join(ones)}"
        return (ones[0] if ones else recipe.rest), ""
    cell = row[column] if column else None
    if is_missing(cell) or cell is None:
        return None, ""
    if recipe.weighted:
        return _heaviest(cell), ""
    if _NESTED.fullmatch(cell.strip()):
        return None, f"has {cell[:40]} for a class; expected one word"
    return cell, ""


def _is_binary(cell: str | None) -> bool:
    return is_missing(cell) or _is_one(cell) or str(cell).strip().casefold() in ("0", "0.0", "false")


def _is_one(cell: str | None) -> bool:
    try:
        return cell is not None and float(cell) == 1
    except ValueError:
        return cell is not None and cell.strip().casefold() == "true"


def _heaviest(cell: str) -> str | None:
    """The name with the most weight in {name: weight}; of equal ones the first."""
    try:
        weights = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(weights, dict) or not all(isinstance(v, int | float) for v in weights.values()):
        return None
    return str(max(weights, key=lambda name: weights[name])) if weights else None
