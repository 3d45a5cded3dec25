"""How other data sets name their files, columns and splits."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError
from dermforge.common.tables import SUFFIXES, read_table
from shards.format.schema import ID_LENGTH, SPLITS

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


def find_table(path: Path, file_column: str | None = None) -> Path | None:
    """The one table in a folder or next to it that has a column of file names.

    Raises
    ------
    UserError
        There are several such tables, or a `metadata.jsonl` names no files.
    """
    next_to = [path.with_suffix(suffix) for suffix in SUFFIXES]
    inside = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and not p.name.startswith(("_", ".")))
    tables = [p for p in inside if p.suffix != ".jsonl" or p.name == METADATA]  # other JSON Lines are rarely tables
    found = [p for p in tables + next_to if p.is_file() and names_files(p, file_column)]
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


def split_and_class(folders: Sequence[str]) -> tuple[str | None, str | None]:
    """The split and the class that the folders above an image name."""
    split = split_of(*folders[:1])
    labels = folders[1:] if split else folders
    return split, labels[-1] if labels else None


def id_of(name: str) -> str:
    """The id of an image of this name, if no other image gets the same: other characters become hyphens."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:ID_LENGTH] or "image"


def unique_ids(names: list[str]) -> list[str]:
    """Turn names into ids: other characters become hyphens; ids that are then equal get a digest of the name."""
    ids = [id_of(name) for name in names]
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
