"""Where shards lie: a folder, or a bucket that looks like one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from shards.errors import UserError


class Place(Protocol):
    """Files by name, flat."""

    def names(self) -> dict[str, int]:
        """Name -> size in bytes."""
        ...

    def read(self, name: str) -> bytes: ...

    def fetch(self, name: str) -> Path:
        """A local path with the file's content."""
        ...


class Folder:
    """A local folder."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise UserError(f"{path} is not a folder; expected one that holds shards")
        self.path = path

    def names(self) -> dict[str, int]:
        return {entry.name: entry.stat().st_size for entry in sorted(self.path.iterdir()) if entry.is_file()}

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def fetch(self, name: str) -> Path:
        return self.path / name

    def __str__(self) -> str:
        return str(self.path)


def is_url(location: str | Path) -> bool:
    """s3://, gs:// and the like."""
    return "://" in str(location)


def place(location: str | Path) -> Place:
    """The place that a path or an fsspec address names.

    Raises
    ------
    UserError
        It is not there, or reading buckets needs an extra that is not installed.
    """
    if is_url(location):
        from shards.cloud import Bucket

        return Bucket(str(location))
    return Folder(Path(location))
