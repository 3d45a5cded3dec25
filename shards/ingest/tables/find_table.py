"""Finds the table that describes the images of a data set. One that is there and not understood is an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from dermforge.common.errors import UserError
from dermforge.common.tables import as_text, read_table
from shards.ingest.files.kinds import TABLE_SUFFIXES
from shards.ingest.files.walk import File
from shards.ingest.tables.columns import column_of, folded
from shards.ingest.tables.labelling import joined
from shards.ingest.tables.recipe import Recipe, presets
from shards.ingest.tables.splits import split_of

#: Hugging Face's ImageFolder describes images in a table of this name; only there may the class be missing.
METADATA = "metadata"
#: Text files and JSON Lines are often no tables.
_RARELY_TABLES = (".txt", ".jsonl")
_NAMES = {"file": "the image files", "class": "the classes", "group": "the skin types", "cluster": "the patients"}


class TableNotUnderstood(UserError):
    """A table lies beside the images, and its columns are not known."""


@dataclass(frozen=True)
class Described:
    """A table that describes images.

    Attributes
    ----------
    frame
        Cells of text, None where missing; with the columns of the tables that were joined.
    inside
        Folder within the data set to which its file names are relative; "" is the top.
    read
        The tables that were joined.
    """

    file: File
    frame: pd.DataFrame
    inside: str = ""
    read: tuple[File, ...] = ()


@dataclass(frozen=True)
class TableFinder:
    """Looks for tables with the columns of a recipe.

    Attributes
    ----------
    files
        Those that are tables by name.
    needs_classes
        Whether a table must have a column of classes; Hugging Face's metadata never must.
    notes
        Gets a sentence for each table of the recipe that is missing.
    """

    source: Path
    files: Sequence[File]
    recipe: Recipe
    needs_classes: bool
    notes: list[str]

    def find(self, table: Path | None = None) -> list[Described]:
        """The tables that describe the images: one for all, or one for each of some folders; none if there is none.

        Raises
        ------
        TableNotUnderstood
            There are tables, and none has known columns.
        UserError
            Several tables describe the same images, or one cannot be read.
        """
        if table is not None:
            described = self._read(File(table.name, table))
            self._need_columns(described)
            return [described]
        folder = self.source.resolve()  # `.` has no name
        named = [folder.parent / f"{folder.name}{suffix}" for suffix in TABLE_SUFFIXES]
        beside = [File(path.name, path) for path in named if path.is_file()]
        top = [file for file in self.files if not file.parts] + [file for file in beside if self.source.is_dir()]
        known, unknown = self._understood(top)
        if known:
            return [self._one(known)]
        known, more = self._understood([file for file in self.files if file.parts])
        folders = sorted({described.inside for described in known})
        if not known and unknown + more:
            self._need_columns((unknown + more)[0])
        return [self._one([described for described in known if described.inside == inside]) for inside in folders]

    def _understood(self, files: Sequence[File]) -> tuple[list[Described], list[Described]]:
        """The tables with known columns, and those without."""
        known, unknown = [], []
        for file in files:
            lenient = file.name.casefold().endswith(_RARELY_TABLES) and not is_metadata(file)
            try:
                described = self._read(file)
            except UserError:
                if lenient:
                    continue
                raise
            if self.recipe.fits(file.name) and self._missing_column(described) is None:
                known.append(described)
            elif not lenient:
                unknown.append(described)
        return known, unknown

    def _read(self, file: File) -> Described:
        frame, inside = as_text(read_table(file.path)), "/".join(file.parts)
        if not self.recipe.join or not self.recipe.fits(file.name):
            return Described(file, frame, inside)
        others = [other for other in self.files if other.path != file.path]
        optional = () if "join" in self.recipe.required else self.recipe.join
        frame, read = joined(frame, self.recipe.join, others, optional, self.notes)
        return Described(file, frame, inside, tuple(read))

    def _one(self, known: Sequence[Described]) -> Described:
        """The table of a folder; tables that are called train, val and test are the parts of one."""
        if len(known) == 1:
            return known[0]
        names = ", ".join(described.file.place for described in known)
        splits = [split_of(*re.split(r"[\W_]+", described.file.name)) for described in known]
        if None in splits or len(set(splits)) < len(splits):
            raise UserError(
                f"{self.source} has several tables ({names}); name the one to use, or write one with all rows"
            )
        parts = [_with_split(d.frame, str(split)) for d, split in zip(known, splits, strict=True)]
        frame = pd.concat(parts, ignore_index=True).astype(object)
        self.notes.append(f"{names} are the tables of the splits")
        read = tuple(file for described in known for file in (described.file, *described.read))
        return Described(File(names, known[0].file.path), frame.where(frame.notna(), None), known[0].inside, read)

    def _missing_column(self, described: Described) -> str | None:
        """The first of our columns that the table needs and lacks."""
        names, recipe = [str(name) for name in described.frame.columns], self.recipe
        if recipe.onehot and not {folded(name) for name in recipe.onehot} <= set(map(folded, names)):
            return "class"
        needs_class = self.needs_classes and not recipe.onehot and not is_metadata(described.file)
        needed = ("file", "class") if needs_class else ("file",)
        wanted = (*needed, *(ours for ours in recipe.required if ours in recipe.columns))
        return next((ours for ours in wanted if column_of(names, ours, recipe.columns) is None), None)

    def _need_columns(self, described: Described) -> None:
        ours = self._missing_column(described)
        has = [str(name) for name in described.frame.columns]
        if ours is None and self.recipe.fits(described.file.name):
            return
        if ours is None:
            names = " or ".join(self.recipe.table)
            raise TableNotUnderstood(f"{described.file.path} is not called {names}; name the table to use")
        said = self.recipe.onehot if ours == "class" and self.recipe.onehot else self.recipe.columns.get(ours, ())
        theirs = f" {' or '.join(said)}" if said else " file_name" if is_metadata(described.file) else ""
        like = [name for name, one in presets().items() if _is_of(has, one)]
        hint = f" (they are those of the preset {' or '.join(like)})" if like else ""
        raise TableNotUnderstood(
            f"{described.file.path} has no column{theirs} for {_NAMES.get(ours, ours)} (it has "
            f"{', '.join(has) or 'no rows'}); name the columns to use{hint}"
        )


def _with_split(frame: pd.DataFrame, split: str) -> pd.DataFrame:
    """The table with a column of this split, where it has none of its own."""
    return frame if "split" in map(folded, frame.columns) else frame.assign(split=split)


def is_metadata(table: File) -> bool:
    """Whether a table is Hugging Face's, where folders may name the classes."""
    return PurePosixPath(table.name).stem.casefold() == METADATA


def _is_of(names: Sequence[str], recipe: Recipe) -> bool:
    """Whether a table has the columns of files and classes of a preset."""
    have, columns = set(map(folded, names)), recipe.columns
    if recipe.onehot:
        return set(map(folded, recipe.onehot)) <= have
    return all(not have.isdisjoint(map(folded, columns.get(ours, ()))) for ours in ("file", "class"))
