"""Options that choose images, the same in every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.errors import UserError
from dermforge.common.missing import present
from dermforge.common.tables import SUFFIXES, as_text, read_table
from shards.format.reader import ShardSet

Location = Annotated[str, typer.Argument(metavar="SHARDS", help="Folder or s3:// address of shards.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Cls = Annotated[list[str] | None, typer.Option("--class", help="Only this class; repeatable.")]
Group = Annotated[list[str] | None, typer.Option("--group", help="Only this group; repeatable.")]
Strategy = Annotated[list[str] | None, typer.Option("--strategy", help="Only this strategy; repeatable.")]
Split = Annotated[list[str] | None, typer.Option("--split", help="Only this split; repeatable.")]
MinScore = Annotated[list[str] | None, typer.Option("--min-score", help="NAME=LEAST; repeatable.")]


def choose(
    data: ShardSet,
    cls: list[str] | None,
    group: list[str] | None,
    strategy: list[str] | None,
    split: list[str] | None,
    min_score: list[str] | None = None,
) -> ShardSet:
    """The images that meet the options.

    Raises
    ------
    UserError
        A class, group, strategy or split that no image has, which is probably a typing error.
    """
    for column, words in (("class", cls), ("group", group), ("strategy", strategy), ("split", split)):
        found = sorted({word for word in data.rows[column] if word is not None})
        if strangers := set(words or ()) - set(found) - set(data.classes if column == "class" else ()):
            raise UserError(f"no image of {data} has the {column} {min(strangers)!r}; there are {', '.join(found)}")
    least = dict(_score(text) for text in min_score or ())
    return data.where(cls, group, strategy, split, min_score=least)


def ids_of(path: Path) -> list[str]:
    """The ids in a file: the `id` column of a table, or words of a text.

    Raises
    ------
    UserError
        The file does not exist, or the table has no such column.
    """
    return _listed(path, "ids", lambda columns: "id" if "id" in columns else None, str.split)


def names_of(path: Path) -> list[str]:
    """Names of images in a file: the column of a table that names files or ids, or one name per line.

    Raises
    ------
    UserError
        The file does not exist, or the table has no such column.
    """
    from shards.ingest.tables.columns import column_of

    def column(columns: list[str]) -> str | None:
        return column_of(columns, "file") or column_of(columns, "id")

    return _listed(path, "file names or ids", column, str.splitlines)  # names may hold spaces


def _listed(
    path: Path, what: str, find: Callable[[list[str]], str | None], parts: Callable[[str], list[str]]
) -> list[str]:
    """What stands in one column of a table, which `find` finds among the columns; or the `parts` of a text.

    Missing values are left out: the id NA would be one that no image has.
    """
    if not path.is_file():
        raise UserError(f"no file {path}; expected a table with a column of {what}, or a text file with one per line")
    if Path(path.name.removesuffix(".gz")).suffix.lower() not in SUFFIXES:
        try:
            words = parts(path.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is neither a table ({', '.join(SUFFIXES)}) nor text in UTF-8") from error
        return [name for word in words if (name := present(word)) is not None]
    table = as_text(read_table(path))
    names = [str(name) for name in table.columns]
    column = find(names)
    if column is None:
        raise UserError(f"{path} has no column of {what} (it has {', '.join(names)})")
    return [name for cell in table[column] if (name := present(cell)) is not None]


def _score(text: str) -> tuple[str, float]:
    name, _, least = text.partition("=")
    try:
        return name, float(least)
    except ValueError as error:
        raise UserError(f"--min-score {text!r}; expected NAME=LEAST, such as aesthetic=0.5") from error
