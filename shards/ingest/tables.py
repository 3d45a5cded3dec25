"""Finds the table that describes the images of a data set. One that is there and not understood is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from dermforge.common.errors import UserError
from dermforge.common.tables import as_text, read_table
from shards.ingest.columns import column_of
from shards.ingest.kinds import TABLE_SUFFIXES
from shards.ingest.walk import File

#: Hugging Face's ImageFolder describes images in a table of this name; only there may the class be missing.
METADATA = "metadata"
#: Text files and JSON Lines are often no tables.
_RARELY_TABLES = (".txt", ".jsonl")


class TableNotUnderstood(UserError):
    """A table lies beside the images, and its columns are not known."""


@dataclass(frozen=True)
class Described:
    """A table that describes images.

    Attributes
    ----------
    frame
        Cells of text, None where missing.
    inside
        Folder within the data set to which its file names are relative; "" is the top.
    """

    file: File
    frame: pd.DataFrame
    inside: str = ""


def tables_for(
    source: Path, files: Sequence[File], chosen: Mapping[str, str], table: Path | None, needs_classes: bool
) -> list[Described]:
    """The tables that describe the images: one for all of them, or one for each of some folders; none if there is none.

    Parameters
    ----------
    files
        Those that are tables by name.
    chosen
        Our name of a column -> its name in the table.
    table
        The one to use; None looks for one.
    needs_classes
        Whether a table must have a column of classes; Hugging Face's metadata never must.

    Raises
    ------
    TableNotUnderstood
        There are tables, and none has known columns.
    UserError
        Several tables describe the same images, or one cannot be read.
    """
    if table is not None:
        described = Described(File(table.name, table), as_text(read_table(table)))
        _need_columns(described, chosen, needs_classes)
        return [described]
    beside = [File(path.name, path) for suffix in TABLE_SUFFIXES if (path := source.with_suffix(suffix)).is_file()]
    top = [file for file in files if not file.parts] + [file for file in beside if source.is_dir()]
    known, unknown = _understood(top, chosen, needs_classes)
    if len(known) > 1:
        raise UserError(f"{source} has several tables ({', '.join(d.file.name for d in known)}); name the one to use")
    if known:
        return known
    known, more = _understood([file for file in files if file.parts], chosen, needs_classes)
    folders = [described.inside for described in known]
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        names = ", ".join(d.file.place for d in known if d.inside == twice)
        raise UserError(f"{source / twice} has several tables ({names}); name the one to use")
    if not known and unknown + more:
        _need_columns((unknown + more)[0], chosen, needs_classes)
    return known


def _understood(
    files: Sequence[File], chosen: Mapping[str, str], needs_classes: bool
) -> tuple[list[Described], list[Described]]:
    """The tables with known columns, and those without."""
    known, unknown = [], []
    for file in files:
        lenient = file.name.casefold().endswith(_RARELY_TABLES) and not is_metadata(file)
        try:
            described = Described(file, as_text(read_table(file.path)), "/".join(file.parts))
        except UserError:
            if lenient:
                continue
            raise
        if _missing_column(described, chosen, needs_classes) is None:
            known.append(described)
        elif not lenient:
            unknown.append(described)
    return known, unknown


def is_metadata(table: File) -> bool:
    """Whether a table is Hugging Face's, where folders may name the classes."""
    return PurePosixPath(table.name).stem.casefold() == METADATA


def _missing_column(described: Described, chosen: Mapping[str, str], needs_classes: bool) -> str | None:
    """The first of our columns that the table needs and lacks."""
    needed = ("file", "class") if needs_classes and not is_metadata(described.file) else ("file",)
    return next((ours for ours in (*needed, *chosen) if column_of(described.frame.columns, ours, chosen) is None), None)


def _need_columns(described: Described, chosen: Mapping[str, str], needs_classes: bool) -> None:
    ours = _missing_column(described, chosen, needs_classes)
    if ours is None:
        return
    theirs = f" {chosen[ours]!r}" if ours in chosen else ""
    if is_metadata(described.file) and ours == "file" and not theirs:
        theirs = " file_name"
    what = {"file": "the image files", "class": "the classes", "group": "the skin types", "cluster": "the patients"}
    raise TableNotUnderstood(
        f"{described.file.path} has no column{theirs} for {what.get(ours, ours)} (it has "
        f"{', '.join(described.frame.columns) or 'no rows'}); name the columns to use"
    )
