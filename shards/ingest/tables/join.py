"""Finds the file that a table's cell names, however the table writes it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dermforge.common.errors import UserError
from shards.ingest.files.kinds import IMAGE_SUFFIXES, OTHER_PICTURES, Kind, classify
from shards.ingest.files.walk import File


class SeveralFiles(UserError):
    """A name that several files have."""


class ImageFiles:
    """Finds files by path, by the end of a path, by file name, or by any of these without suffix.

    Letter case, composed or decomposed Unicode, backslashes, and another suffix of a picture make no difference where
    only one file can be meant. A file in another folder than the table says is taken only if there is no such folder.
    """

    def __init__(self, files: Iterable[File], folder: Path, inside: str = "") -> None:
        self.files, self.folder, self.inside = list(files), Path(os.path.abspath(folder)), inside
        self._exact = {self._local(file): file for file in self.files}
        self._by_stem: dict[str, list[File]] = {}
        self._folders: set[str] = set()
        for file in self.files:
            *above, name = _key(self._local(file)).split("/")
            self._folders |= {"/".join(above[i:]) for i in range(len(above))}
            self._by_stem.setdefault(without_suffix(name), []).append(file)

    def find(self, cell: str) -> File | None:
        """The file, None if there is none.

        Raises
        ------
        SeveralFiles
            Several files have the name.
        UserError
            It points outside the folder.
        """
        name = self._relative(cell)
        if not name:
            return None
        if name in self._exact:
            return self._exact[name]
        key = _key(name)
        folder, _, base = key.rpartition("/")
        candidates = self._by_stem.get(base, []) + self._by_stem.get(without_suffix(base), [])
        found = self._nearest(key, list(dict.fromkeys(candidates)), folder in self._folders)
        if len(found) > 1:
            places = f"{found[0].place} or {found[1].place}"
            raise SeveralFiles(f"the name {cell!r} may mean {places}; give its path in {self.folder}")
        return found[0] if found else None

    def _nearest(self, key: str, candidates: list[File], is_folder: bool) -> list[File]:
        """Of files with the name, those with the same path, or the longest common end of it; images before masks."""
        stem = without_suffix(key)
        paths = [without_suffix(_key(self._local(file))) for file in candidates]
        same = [path in (stem, key) for path in paths]
        below = [f"/{path}".endswith((f"/{stem}", f"/{key}")) for path in paths]
        above = [f"/{stem}".endswith(f"/{path}") for path in paths]
        for chosen in (same, below, above, [not is_folder] * len(paths)):
            if found := [file for file, one in zip(candidates, chosen, strict=True) if one]:
                found = [file for file in found if classify(file.place)[0] is not Kind.MASK] or found
                suffix = PurePosixPath(key).suffix
                return [file for file in found if PurePosixPath(_key(file.name)).suffix == suffix] or found
        return []

    def beginning(self, cell: str) -> list[File]:
        """The files whose names begin with a cell, and then with no letter or digit that would make it another."""
        key = _key(cell.strip())
        found = [file for file in self.files if _key(file.name).startswith(key)] if key else []
        return [file for file in found if not _key(file.name)[len(key) : len(key) + 1].isalnum()]

    def matches(self, cell: str) -> bool:
        """Whether a cell names one or several files."""
        try:
            return self.find(cell) is not None
        except SeveralFiles:
            return True
        except UserError:
            return False

    def name(self, file: File, cell: str) -> str:
        """What an image's id is made of: its file name, with its folders if the table gives them."""
        local = self._local(file) if "/" in cell.replace("\\", "/") else file.name
        return without_suffix(local).replace("/", "-")

    def _local(self, file: File) -> str:
        return file.place.removeprefix(f"{self.inside}/") if self.inside else file.place

    def _relative(self, cell: str) -> str:
        name = cell.strip().replace("\\", "/")
        if not name:
            return ""
        path = os.path.normpath(name)
        if os.path.isabs(path) and Path(path).is_relative_to(self.folder):
            path = str(Path(path).relative_to(self.folder))
        if os.path.isabs(path) or path.startswith("../") or path == "..":
            raise UserError(f"the name {cell!r} points outside {self.folder}; expected a file in it")
        return path


def without_suffix(name: str) -> str:
    """Without the suffix of a picture; another ending stays, since names hold dots."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.casefold() in IMAGE_SUFFIXES or suffix.casefold() in OTHER_PICTURES else name


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
