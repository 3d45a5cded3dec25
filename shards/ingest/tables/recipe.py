"""How to read the tables of one data set: what a preset says, or a user's options, or both."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.errors import UserError, first_line

Names = tuple[str, ...]


class Recipe(BaseModel):
    """Which columns say what; of several names of a column, the first that a table has counts.

    A preset is a file `presets/NAME.toml` with some of these fields.

    Attributes
    ----------
    table
        Patterns of the name of the table with a row a picture.
    file
        The column that names the picture; with `prefix`, what the names of a row's pictures begin with.
    files
        Columns that name one picture each, for tables with several pictures a row.
    label
        The column of the class (`class` in a preset); with `weighted`, it holds the weights of several, {name: weight}.
    onehot, rest
        Columns of zeros and one 1, instead of `label`; the class of a row without a 1.
    scale
        What the skin types are written in: see `shards.ingest.tables.skin_types`.
    join
        `TABLE:KEY`: more columns from the table whose name has the pattern TABLE, where column KEY is the same.
    where
        `COLUMN = VALUE` or `COLUMN != VALUE`: rows without it are left out; `A|B` is A or B.
    same_as
        The column that names the picture in another data set.
    folders, trim
        Folders name the classes; endings to cut off their names.
    required
        Our names of the columns that a user named: they must be there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    title: str = ""
    table: Names = ()
    file: Names = ()
    prefix: bool = False
    files: Names = ()
    label: Names = Field(default=(), alias="class")
    weighted: bool = False
    onehot: Names = ()
    rest: str | None = None
    group: Names = ()
    scale: Literal["", "fitzpatrick", "fitzpatrick pairs", "milk10k", "monk"] = ""
    cluster: Names = ()
    split: Names = ()
    id: Names = ()
    join: Names = ()
    where: Names = ()
    same_as: Names = ()
    folders: bool = False
    trim: Names = ()
    required: frozenset[str] = frozenset()

    @property
    def columns(self) -> dict[str, Names]:
        """Our name of a column -> its names in the table, where the recipe says it."""
        said = {"file": self.file or self.files[:1], "class": self.label, "group": self.group}
        said |= {"cluster": self.cluster, "split": self.split, "id": self.id}
        return {ours: names for ours, names in said.items() if names}

    def with_columns(self, columns: Mapping[str, str]) -> Recipe:
        """With columns that a user named: our name -> its name in the table."""
        changed: dict[str, Any] = {"label" if k == "class" else k: (v,) for k, v in columns.items()}
        if "file" in columns:
            changed |= {"files": (), "prefix": False}
        if "class" in columns:
            changed |= {"onehot": (), "weighted": False}
        return self.model_copy(update=changed | {"required": self.required | set(columns)})

    def fits(self, name: str) -> bool:
        """Whether a table of this name may be the one."""
        return not self.table or matches(name, self.table)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a file name has one of the patterns, in any case."""
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in patterns)


def presets() -> dict[str, Recipe]:
    """All presets by name.

    Raises
    ------
    UserError
        A preset's file has a field that recipes do not have.
    """
    found = {}
    for file in sorted((files("shards.ingest.tables") / "presets").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            try:
                found[file.name.removesuffix(".toml")] = Recipe.model_validate(tomllib.loads(file.read_text("utf-8")))
            except (ValidationError, tomllib.TOMLDecodeError) as error:
                raise UserError(f"the preset {file.name} cannot be read: {first_line(error)}") from error
    return found


def preset(name: str) -> Recipe:
    """A preset by its name.

    Raises
    ------
    UserError
        There is none of this name.
    """
    known = presets()
    if name not in known:
        raise UserError(f"preset {name!r}; expected {', '.join(known)}")
    return known[name]
