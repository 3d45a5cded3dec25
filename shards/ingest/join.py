"""Finds the file that a table's cell names, however the table writes it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dermforge.common.errors import UserError
from shards.ingest.kinds import IMAGE_SUFFIXES, OTHER_PICTURES
from shards.ingest.walk import File


class ImageFiles:
    """Finds files by path, by file name, or by either without suffix.

    Letter case, composed or decomposed Unicode, backslashes, and another suffix of a picture make no difference where
    only one file can be meant.
    """

    def __init__(self, files: Iterable[File], folder: Path, inside: str = "") -> None:
        self.files, self.folder, self.inside = list(files), Path(os.path.abspath(folder)), inside
        self._exact = {self._local(file): file for file in self.files}
        self._by_key: dict[str, list[File]] = {}
        for file in self.files:
            local = _key(self._local(file))
            keys = {local, _key(file.name), without_suffix(local), without_suffix(_key(file.name))}
            for key in keys:
                self._by_key.setdefault(key, []).append(file)

    def find(self, cell: str) -> File | None:
        """The file, None if there is none.

        Raises
        ------
        UserError
            The name points outside the folder, or several files have it.
        """
        name = self._relative(cell)
        if not name:
            return None
        if name in self._exact:
            return self._exact[name]
        key, base = _key(name), _key(name.rpartition("/")[2])
        for candidate in (key, without_suffix(key), base, without_suffix(base)):
            found = self._by_key.get(candidate, [])
            found = _of_the_same_suffix(found, key) or found
            if len(found) > 1:
                places = f"{found[0].place} or {found[1].place}"
                raise UserError(f"the name {cell!r} may mean {places}; give its path in {self.folder}")
            if found:
                return found[0]
        return None

    def beginning(self, cell: str) -> list[File]:
        """The files whose names begin with a cell, and then with no letter or digit that would make it another."""
        key = _key(cell.strip())
        found = [file for file in self.files if _key(file.name).startswith(key)] if key else []
        return [file for file in found if not _key(file.name)[len(key) : len(key) + 1].isalnum()]

    def matches(self, cell: str) -> bool:
        """Whether a cell names one or several files."""
        try:
            return self.find(cell) is not None
        except UserError as error:
            return "may mean" in str(error)

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


def _of_the_same_suffix(found: list[File], key: str) -> list[File]:
    return [file for file in found if PurePosixPath(_key(file.name)).suffix == PurePosixPath(key).suffix]
