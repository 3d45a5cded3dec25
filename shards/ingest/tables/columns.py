"""The columns of other data sets: which one names the file, the class, the skin type, the patient and the split."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dermforge.common.missing import present, present_code
from shards.ingest.tables.splits import names_splits, split_of

Chosen = Mapping[str, Sequence[str]]

#: Our name of a column -> its names in other data sets, compared without case, spaces and punctuation; the first one
#: that a table has is used.
ALIASES: dict[str, tuple[str, ...]] = {
    "file": (
        *("file", "filename", "file_name", "file_path", "image", "image_path", "path", "img_path", "image_file"),
        *("image_name", "image_id", "img_id", "isic_id", "img_name", "img", "DDI_file", "md5hash"),
    ),
    "class": ("class", "label", "diagnostic", "disease", "diagnosis", "class_name"),
    "group": (
        *("group", "fst", "skin_tone", "fitzpatrick", "fitzpatrick_scale", "fitspatrick", "skin_type"),
        *("fitzpatrick_skin_type", "fitzpatrick_type", "fitzpatrick_skin_tone"),
    ),
    "cluster": ("cluster", "patient_id", "patient", "subject_id", "lesion_id"),
    "split": ("split", "partition", "set", "subset", "fold"),
    "id": ("id",),
}
#: A second rater's skin type becomes an attribute with this name.
RENAMED = {"fitzpatrick_centaur": "fst_b"}


def folded(name: str) -> str:
    """A column's name without case, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name).casefold()


def column_of(names: Iterable[str], ours: str, chosen: Chosen = ALIASES) -> str | None:
    """The first of the chosen columns that a table has, else the first alias."""
    return next(iter(columns_of(names, ours, chosen)), None)


def columns_of(names: Iterable[str], ours: str, chosen: Chosen = ALIASES) -> list[str]:
    """Every column that could be meant, the likeliest first."""
    by_key = {folded(name): name for name in reversed(list(names))}
    return list(dict.fromkeys(by_key[key] for key in map(folded, chosen.get(ours, ALIASES[ours])) if key in by_key))


def resolve(table: pd.DataFrame, chosen: Chosen, matches: Callable[[str], bool] | None = None) -> dict[str, str | None]:
    """Our name of each column -> its name in the table, None where it has none.

    Of several columns that could name the files, the one that does so most often is taken. A column of splits or ids
    that was not asked for by name counts only if its cells are words for splits, or all different.

    Parameters
    ----------
    table
        Cells of text, None where missing.
    matches
        Whether a cell names a file.
    """
    names = [str(name) for name in table.columns]
    found = {ours: column_of(names, ours, chosen) for ours in ALIASES}
    if matches and "file" not in chosen and len(could := columns_of(names, "file")) > 1:
        found["file"] = max(could, key=lambda name: sum(matches(str(cell)) for cell in table[name] if cell))
    if "split" not in chosen:
        could = columns_of(names, "split")
        surely = [name for name in could if folded(name) == "split"]
        found["split"] = next((name for name in could if names_splits(table[name].unique())), next(iter(surely), None))
    if (ids := found["id"]) and "id" not in chosen and (table[ids].isna().any() or table[ids].duplicated().any()):
        found["id"] = None
    return found


def facts_of(
    row: Mapping[str, str | None], columns: Mapping[str, str | None], without: Iterable[str] = ()
) -> dict[str, Any]:
    """What a row says by our names; its other cells are attributes. Missing values are None, or left out.

    Parameters
    ----------
    without
        Columns with another use: they are no attributes.
    """
    used = {name for name in columns.values() if name} | set(without)
    facts: dict[str, Any] = {ours: tidy(ours, row.get(theirs)) for ours, theirs in columns.items() if theirs}
    facts["attributes"] = {
        RENAMED.get(key, key): text
        for key, cell in row.items()
        if key not in used and (text := tidy("group" if key in RENAMED else key, cell)) is not None
    }
    facts["split"] = split_of(facts.get("split")) or facts.get("split")
    return facts


def tidy(column: str, cell: str | None) -> str | None:
    """The trimmed text of a cell, without ".0" behind a whole number; None where it is missing."""
    value = present_code(cell) if column == "group" else present(cell)
    return None if value is None else re.sub(r"^(-?\d+)\.0$", r"\1", value)
