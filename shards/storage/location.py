"""Where shards lie: a folder, or a bucket that looks like one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, Protocol

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError


class Place(Protocol):
    """Files by name, flat.

    Attributes
    ----------
    keep_open
        How many files a reader may hold open.
    """

    keep_open: int

    def names(self, missing_ok: bool = False) -> dict[str, int]:
        """Name -> size in bytes; with `missing_ok`, a folder that is not there (yet) has none."""
        ...

    def read(self, name: str) -> bytes: ...

    def open(self, name: str) -> BinaryIO:
        """The file as it is now, unbuffered, on a local disk."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """A small file: all of it, or what was there before."""
        ...

    def remove(self, name: str) -> None:
        """The file goes, if it is there."""
        ...


class Folder:
    """A local folder."""

    keep_open = 64

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise UserError(f"{path} is not a folder; expected one that holds shards")
        self.path = path

    def names(self, missing_ok: bool = False) -> dict[str, int]:
        return {entry.name: entry.stat().st_size for entry in sorted(self.path.iterdir()) if entry.is_file()}

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        return (self.path / name).open("rb", buffering=0)

    def write(self, name: str, content: bytes) -> None:
        write_whole(self.path / name, content)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def __str__(self) -> str:
        return str(self.path)


def is_url(location: str | Path) -> bool:
    """s3://, gs:// and the like."""
    return "://" in address(location)


def address(location: str | Path) -> str:
    """The location as text; an address that was taken for a path (s3:/bucket) gets its slash back."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", str(location))


def place(location: str | Path) -> Place:
    """The place that a path or an fsspec address names.

    Raises
    ------
    UserError
        It is not there, or reading buckets needs an extra that is not installed.
    """
    if is_url(location):
        from shards.storage.bucket import Bucket

        return Bucket(address(location))
    return Folder(Path(location))


def make_place(location: str | Path) -> Place:
    """The same, to write to: a folder that is not there is made.

    Raises
    ------
    UserError
        A file is in its place, or the system does not allow it.
    """
    if not is_url(location):
        make_folder(Path(location))
    return place(location)


def make_folder(folder: Path) -> None:
    """Make a folder to write to.

    Raises
    ------
    UserError
        A file is in its place, the system does not allow it, or it is an address and not a folder.
    """
    if is_url(folder):
        raise UserError(
            f"{address(folder)} is an address, and this writes to folders only; write to a folder, then "
            f"copy it with `shards select FOLDER --out {address(folder)}`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; give another folder") from error
