"""Options that choose images, the same in every command that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.errors import UserError
from dermforge.common.tables import as_text, read_table
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
    """The ids in a file: the `id` column of a table, or one id per line.

    Raises
    ------
    UserError
        The file does not exist, or the table has no such column.
    """
    if not path.is_file():
        raise UserError(f"no file {path}; expected a table with a column id, or a text file with one id per line")
    if path.suffix not in (".csv", ".tsv", ".parquet"):
        return path.read_text(encoding="utf-8").split()
    table = as_text(read_table(path))
    if "id" not in table:
        raise UserError(f"{path} has no column id (it has {', '.join(table.columns)})")
    return [key for key in table["id"] if key]


def names_of(path: Path) -> list[str]:
    """Names of images in a file: the column of a table that names files or ids, or one name per line.

    Raises
    ------
    UserError
        The file does not exist, or the table has no such column.
    """
    from shards.ingest.tables.columns import column_of

    if not path.is_file():
        raise UserError(f"no file {path}; expected a table of image files, or a text file with one name per line")
    if path.suffix == ".txt":
        return path.read_text(encoding="utf-8").split()
    table = as_text(read_table(path))
    names = [str(name) for name in table.columns]
    column = column_of(names, "file") or column_of(names, "id")
    if column is None:
        raise UserError(f"{path} has no column of file names or ids (it has {', '.join(names)})")
    return [name for name in table[column] if name]


def _score(text: str) -> tuple[str, float]:
    name, _, least = text.partition("=")
    try:
        return name, float(least)
    except ValueError as error:
        raise UserError(f"--min-score {text!r}; expected NAME=LEAST, such as aesthetic=0.5") from error
