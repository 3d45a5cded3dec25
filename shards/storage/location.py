"""Where shards are stored: a local folder, or a bucket with the same few methods."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from dermforge.common.regular_file import open_regular, read_regular


class Storage(Protocol):
    """A flat collection of files with names.

    Attributes
    ----------
    keep_open
        How many files a reader may hold open.
    """

    keep_open: int

    def names(self, missing_ok: bool = False) -> dict[str, int]:
        """Name -> size in bytes; with `missing_ok`, a folder that does not exist has no files."""
        ...

    def read(self, name: str) -> bytes: ...

    def open(self, name: str) -> BinaryIO:
        """Open the current file for reading, unbuffered; it lies on a local disk."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file: after an error the old one is still there."""
        ...

    def remove(self, name: str) -> None:
        """Remove the file, if it exists."""
        ...


class Folder:
    """A local folder."""

    keep_open = 64

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise UserError(f"{path} is not a folder; expected one that holds shards")
        self.path = path

    def names(self, missing_ok: bool = False) -> dict[str, int]:
        sizes = {}
        for entry in sorted(self.path.iterdir()):
            with suppress(FileNotFoundError):  # another process's temporary file
                if entry.is_file():
                    sizes[entry.name] = entry.stat().st_size
        return sizes

    def read(self, name: str) -> bytes:
        return read_regular(self.path / name)

    def open(self, name: str) -> BinaryIO:
        return open_regular(self.path / name)

    def write(self, name: str, content: bytes) -> None:
        write_whole(self.path / name, content)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def __str__(self) -> str:
        return str(self.path)


def is_url(location: str | Path) -> bool:
    """Whether the location is an fsspec address such as s3://bucket/folder."""
    return "://" in address(location)


def address(location: str | Path) -> str:
    """The location as text. `Path` turns s3://bucket into s3:/bucket; the lost slash is restored."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", str(location))


def open_storage(location: str | Path) -> Storage:
    """The folder or bucket at a path or an fsspec address.

    Raises
    ------
    UserError
        The folder does not exist, or the package for buckets is not installed.
    """
    if is_url(location):
        from shards.storage.bucket import Bucket

        return Bucket(address(location))
    return Folder(Path(location))


def create_storage(location: str | Path) -> Storage:
    """The folder or bucket to write to; a folder that does not exist is created.

    Raises
    ------
    UserError
        As `make_folder` and `open_storage`.
    """
    if not is_url(location):
        make_folder(Path(location))
    return open_storage(location)


def make_folder(folder: Path) -> None:
    """Create a folder to write to.

    Raises
    ------
    UserError
        There is a file of that name, permission is denied, or it is an address and not a folder.
    """
    if is_url(folder):
        raise UserError(
            f"{address(folder)} is an address, but this can write to folders only; write to a folder, then copy it "
            "there with `shards select`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; give another folder") from error
