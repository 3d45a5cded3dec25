"""Lists every file of a folder, symbolic links included, and reads each by its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dermforge.common.errors import UserError
from dermforge.common.regular_file import leaves, read_regular
from shards.format.images import MAX_BYTES


@dataclass(frozen=True)
class File:
    """One file of a data set: a file on disk, or a stretch of one, such as a member of a tar.

    Attributes
    ----------
    place
        Path within the data set, with slashes.
    path
        The file on disk that holds it.
    at, size
        Where it lies in `path`; a size of -1 is the whole file.
    problem
        Why it cannot be read; "" if it can.
    """

    place: str
    path: Path
    at: int = 0
    size: int = -1
    problem: str = ""

    def read(self) -> bytes:
        """The content.

        Raises
        ------
        UserError
            It cannot be read, or it is larger than an image may be.
        """
        if self.problem:
            raise UserError(self.problem)
        if self.size < 0:
            return read_regular(self.path, MAX_BYTES)
        if self.size > MAX_BYTES:
            raise UserError(f"it has {self.size} bytes; at most {MAX_BYTES} are read")
        with self.path.open("rb") as file:
            file.seek(self.at)
            return file.read(self.size)

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders above it."""
        return tuple(self.place.split("/")[:-1])

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]


def walk(folder: Path) -> list[File]:
    """Every file below a folder, by place.

    Links to folders are followed, each folder once: a link to one that is read elsewhere, a loop included, is listed
    with that problem, as are broken links, sockets, and folders that may not be read. So is a link to a file or folder
    outside: whoever made the folder would choose which files of this machine become images.

    Raises
    ------
    UserError
        The folder itself cannot be read.
    """
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from error
    seen: set[tuple[int, int]] = set()
    links: list[tuple[Path, str]] = []
    files = list(_below(folder, folder, "", seen, links))
    while links:  # folders first: what can be reached without a link has its own name
        path, place = links.pop(0)
        files += _below(folder, path, place, seen, links)
    return sorted(files, key=lambda file: file.place)


def _below(
    root: Path, folder: Path, place: str, seen: set[tuple[int, int]], links: list[tuple[Path, str]]
) -> Iterator[File]:
    pending = [(folder, place)]
    while pending:
        path, inside = pending.pop()
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                yield File(inside, path, problem="a link to a folder that is read elsewhere")
                continue
            if path.is_symlink() and path != root and leaves(path, root):
                yield File(inside, path, problem="a link to a folder outside; give that one, or copy it here")
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            yield File(inside, path, problem=f"a folder that cannot be read: {error.strerror}")
            continue
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if not entry.is_symlink() and entry.is_dir():
                pending.append((Path(entry.path), name))
            elif _is_folder(entry):
                links.append((Path(entry.path), name))
            else:
                yield File(name, Path(entry.path), problem=_problem(entry, root))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _problem(entry: os.DirEntry[str], root: Path) -> str:
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return f"a link that leads nowhere: {error.strerror}" if entry.is_symlink() else str(error.strerror)
    if not stat.S_ISREG(mode):
        return "neither a file nor a folder"
    if entry.is_symlink() and leaves(Path(entry.path), root):
        return "a link to a file outside the folder; copy that file here"
    return ""
