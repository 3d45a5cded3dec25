"""Reads a plain folder of images as if it were shards; labels come from a table or from the folders."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.tables import SUFFIXES, as_text, read_table
from shards.format.images import image_size
from shards.format.reader import ImageSet, ShardSet
from shards.format.schema import ID_LENGTH, SHARD, SPLITS, Sample
from shards.storage.location import is_url

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

#: Hugging Face's ImageFolder describes images in this file, or in metadata.csv.
METADATA = "metadata.jsonl"

#: Our name of a column -> its names in other data sets; the first one that a table has is used.
ALIASES: dict[str, tuple[str, ...]] = {
    "file": ("file", "filename", "file_name", "image", "path", "image_path", "img_id", "DDI_file", "md5hash"),
    "class": ("class", "label", "diagnostic", "disease", "diagnosis"),
    "group": ("group", "fst", "skin_tone", "fitzpatrick", "fitzpatrick_scale", "fitspatrick", "skin_type"),
    "cluster": ("cluster", "patient_id", "patient", "lesion_id"),
    "split": ("split",),
    "id": ("id",),
}


#: Other names of the splits.
_SPLIT_WORDS = {"val": "validation", "valid": "validation", "training": "train", "testing": "test"}


class FolderSet(ImageSet):
    """Images in files. `rows` has their `path`; columns of the table without another use become attributes."""

    def __init__(self, path: Path, rows: pd.DataFrame, classes: Sequence[str]) -> None:
        super().__init__(rows, classes)
        self.path = path

    @classmethod
    def open(cls, path: Path, table: Path | None = None) -> FolderSet:
        """Find the images of a folder and their labels.

        Labels come from a table with a column of file names and one of classes, else from sub-folders named after
        classes; else every image has the class "image".

        Raises
        ------
        UserError
            There are no images, or the table lacks a needed column or names files that do not exist.
        """
        if not path.is_dir():
            raise UserError(f"{path} is not a folder; expected shards, or a folder of images")
        table = table or find_table(path)
        rows = _from_table(path, as_text(read_table(table)), str(table)) if table else _from_folders(path)
        if rows.empty:
            raise UserError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)})")
        rows["id"] = unique_ids([str(name) for name in rows["id"]])
        return cls(path, rows.astype(object).sort_values("id", ignore_index=True), sorted(set(rows["class"])))

    def at(self, position: int, verify: bool = True) -> tuple[Sample, bytes]:
        row = self.rows.iloc[position]
        try:
            data = Path(row["path"]).read_bytes()
            width, height = image_size(data)
        except (OSError, UserError) as error:
            raise CheckFailed(f"{row['path']}: {error}; expected a JPEG, PNG or WebP image") from error
        sample = Sample(
            id=row["id"],
            origin=row["origin"],
            label=row["class"],
            group=row["group"],
            attributes=row["attributes"],
            cluster=row["cluster"],
            split=row["split"],
            image_sha256=digest_bytes(data),
            width=width,
            height=height,
            scores=row["scores"],
        )
        return sample, data

    def source(self, position: int) -> str:
        return str(self.rows["path"].iloc[position])

    def __str__(self) -> str:
        return str(self.path)


def open_data(location: str | Path, table: Path | None = None) -> ImageSet:
    """Open shards, a bucket of shards, or a plain folder of images, whichever `location` is.

    Raises
    ------
    UserError, CheckFailed
        As `ShardSet.open` and `FolderSet.open`.
    """
    if is_url(location):
        return ShardSet.open(location)
    path = Path(location)
    if path.is_dir() and any(SHARD.match(entry.name) for entry in path.iterdir()):
        return ShardSet.open(path)
    return FolderSet.open(path, table)


def find_table(path: Path, file_column: str | None = None) -> Path | None:
    """The one table in a folder or next to it that has a column of file names.

    Raises
    ------
    UserError
        There are several such tables, or a `metadata.jsonl` names no files.
    """
    beside = [path.with_suffix(suffix) for suffix in SUFFIXES]
    inside = sorted(
        p
        for p in path.iterdir()
        if p.suffix in SUFFIXES and not p.name.startswith(("_", ".")) and (p.suffix != ".jsonl" or p.name == METADATA)
    )  # of others there are too many
    found = [p for p in inside + beside if p.is_file() and names_files(p, file_column)]
    if len(found) > 1:
        raise UserError(f"{path} has several tables ({', '.join(p.name for p in found)}); name the one to use")
    return found[0] if found else None


def names_files(path: Path, file_column: str | None = None) -> bool:
    """Whether a table has a column of file names."""
    names = (*ALIASES["file"], *([file_column] if file_column else []))
    if path.suffix == ".parquet":  # in those of Hugging Face, the column "image" holds the images themselves
        try:
            schema = pyarrow.parquet.read_schema(path)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"cannot read the table {path}: {error}; write it again, or move it away") from error
        columns = {f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)}
    else:
        columns = set(read_table(path).columns)
    if path.name == METADATA and columns.isdisjoint(names):
        raise UserError(
            f"{path} has no column file_name (it has {', '.join(sorted(columns)) or 'no rows'}); Hugging "
            "Face's ImageFolder expects one"
        )
    return not columns.isdisjoint(names)


class ImageFiles:
    """Finds the images of a folder by path, by file name, or by file name without suffix."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.by_name: dict[str, list[Path]] = {}
        self.paths = sorted(p for p in self.folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        for path in self.paths:
            self.by_name.setdefault(path.name, []).append(path)
            self.by_name.setdefault(path.stem, []).append(path)

    def find(self, name: str) -> Path | None:
        """The file, None if there is none.

        Raises
        ------
        UserError
            The name points outside the folder, or several files in sub-folders have it.
        """
        if not name:
            return None
        path = Path(os.path.normpath(self.folder / name))
        if not path.is_relative_to(self.folder):
            raise UserError(f"the name {name!r} points outside {self.folder}; expected a file in it")
        if path.is_file():
            return path
        found = self.by_name.get(path.name, [])
        if len(found) > 1:
            raise UserError(f"the name {name!r} may mean {found[0]} or {found[1]}; give its path in {self.folder}")
        return found[0] if found else None

    def name(self, path: Path, given: str) -> str:
        """The id of an image that a table calls `given`: with its folders if the table gives them."""
        return "-".join(path.relative_to(self.folder).with_suffix("").parts) if "/" in given else Path(given).stem


def split_of(*words: str | None) -> str | None:
    """The split that the first word with such a meaning names; None if there is none."""
    known = (_SPLIT_WORDS.get(word or "", word) for word in words)
    return next((word for word in known if word in SPLITS), None)


def blank_rows(n: int) -> dict[str, list[Any]]:
    """The columns of an `ImageSet` for n real images without labels."""
    empty: dict[str, list[Any]] = {name: [None] * n for name in ("group", "cluster", "split", "strategy", "parent")}
    return empty | {
        "origin": ["real"] * n,
        "attributes": [{} for _ in range(n)],
        "scores": [{} for _ in range(n)],
        "image_sha256": [""] * n,
    }


def _from_folders(path: Path) -> pd.DataFrame:
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    inside = [p.relative_to(path).parts[:-1] for p in files]
    first = [parts[0] if parts else "" for parts in inside]
    split = [split_of(word) for word in first]
    named = [parts[1:] if s else parts for parts, s in zip(inside, split, strict=True)]
    return pd.DataFrame(
        blank_rows(len(files))
        | {
            "id": [str(p.relative_to(path).with_suffix("")) for p in files],
            "path": [str(p) for p in files],
            "class": [parts[-1] if parts else "image" for parts in named],
            "split": split,
        }
    )


def _from_table(path: Path, table: pd.DataFrame, source: str) -> pd.DataFrame:
    columns = {ours: _column(table, ours) for ours in ALIASES}
    if not columns["file"] or not columns["class"]:
        missing = "file" if not columns["file"] else "class"
        raise UserError(
            f"{source} has no column {missing!r} (it has {', '.join(table.columns)}); expected one of "
            f"{', '.join(ALIASES[missing])}"
        )
    known = ImageFiles(path)
    files = [known.find(name or "") for name in table[columns["file"]]]
    if lost := [name for name, file in zip(table[columns["file"]], files, strict=True) if file is None]:
        raise UserError(
            f"{source} names {len(lost)} files that are not in {path} (the first is {lost[0]}); remove "
            "these rows, or run `shards make`, which drops and lists them"
        )
    rows = blank_rows(len(table)) | {"path": [str(file) for file in files]}
    rows["id"] = (
        list(table[columns["id"]])
        if columns["id"]
        else [known.name(file, name or "") for name, file in zip(table[columns["file"]], files, strict=True) if file]
    )
    for ours in ("class", "group", "cluster"):
        if (theirs := columns[ours]) is not None:
            rows[ours] = list(table[theirs])
    if columns["split"]:
        rows["split"] = [split_of(word) or word for word in table[columns["split"]]]
        if strangers := set(rows["split"]) - {*SPLITS, None}:
            raise UserError(f"{source} has the split {min(strangers)!r}; expected {', '.join(SPLITS)}")
    if (unlabelled := rows["class"].count(None)) and rows["class"]:
        raise UserError(f"{source} has {unlabelled} rows without a {columns['class']}; fill them in or remove the rows")
    others = [name for name in table.columns if name not in columns.values()]
    for attributes, values in zip(rows["attributes"], table[others].to_numpy(), strict=True):
        attributes |= {k: v for k, v in zip(others, values, strict=True) if v is not None}
    return pd.DataFrame(rows)


def _column(table: pd.DataFrame, ours: str) -> str | None:
    return next((name for name in ALIASES[ours] if name in table.columns), None)


def unique_ids(names: list[str]) -> list[str]:
    """Turn names into ids: other characters become hyphens; ids that are then equal get a digest of the name."""
    ids = [re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:ID_LENGTH] or "image" for name in names]
    taken: dict[str, int] = {}
    for one in ids:
        taken[one] = taken.get(one, 0) + 1
    unique = [
        one if taken[one] == 1 else f"{one[: ID_LENGTH - 9]}-{digest_bytes(name.encode())[:8]}"
        for one, name in zip(ids, names, strict=True)
    ]
    if len(set(unique)) != len(unique):
        again = next(name for name in unique if unique.count(name) > 1)
        raise UserError(f"two images have the id {again!r}; ids must be unique")
    return unique
