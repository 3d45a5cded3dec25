"""Reads a plain folder of images as if it were shards; labels come from a table or from the folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.tables import as_text, read_table
from shards.format.images import image_size
from shards.format.nearby import sets_below
from shards.format.reader import ImageSet, ShardSet
from shards.format.schema import SHARD, SPLITS, Sample
from shards.ingest.naming import ALIASES, IMAGE_SUFFIXES, ImageFiles, find_table, split_and_class, split_of, unique_ids
from shards.storage.location import is_url


class FolderSet(ImageSet):
    """Images in files. `rows` has their `path`; columns of the table without another use become attributes."""

    def __init__(self, path: Path, rows: pd.DataFrame, classes: Sequence[str]) -> None:
        super().__init__(rows, classes)
        self.path = path

    @classmethod
    def open(cls, path: Path, table: Path | None = None) -> FolderSet:
        """Find the images of a folder and their labels.

        Labels come from a table with a column of file names, else from sub-folders named after classes. Without such a
        column or sub-folders every image has the class "image".

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
            below = sets_below(path)
            instead = f", but {', '.join(below)} hold shards; give one" if below else ""
            raise UserError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)}){instead}")
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
    named = [split_and_class(p.relative_to(path).parts[:-1]) for p in files]
    return pd.DataFrame(
        blank_rows(len(files))
        | {
            "id": [str(p.relative_to(path).with_suffix("")) for p in files],
            "path": [str(p) for p in files],
            "class": [label or "image" for _, label in named],
            "split": [split for split, _ in named],
        }
    )


def _from_table(path: Path, table: pd.DataFrame, source: str) -> pd.DataFrame:
    columns = {ours: _column(table, ours) for ours in ALIASES}
    if not columns["file"]:
        raise UserError(
            f"{source} has no column 'file' (it has {', '.join(table.columns)}); expected one of "
            f"{', '.join(ALIASES['file'])}"
        )
    known = ImageFiles(path)
    files = [known.find(name or "") for name in table[columns["file"]]]
    if lost := [name for name, file in zip(table[columns["file"]], files, strict=True) if file is None]:
        raise UserError(
            f"{source} names {len(lost)} files that are not in {path} (the first is {lost[0]}); remove "
            "these rows, or run `shards make`, which drops and lists them"
        )
    rows = blank_rows(len(table)) | {"path": [str(file) for file in files], "class": ["image"] * len(table)}
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
