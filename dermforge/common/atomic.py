"""Files that are written whole or not at all."""

from __future__ import annotations

import fcntl
import glob
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType


class Pending:
    """A file written under a temporary name next to `final`: `commit` renames it, leaving without it removes it.

    The temporary file is locked as long as its writer lives. One without a lock is the leftover of a killed writer, and
    whoever writes a file of the same name removes it.

    Attributes
    ----------
    keep
        Leave the temporary file where it is: it is needed to finish what was begun.
    """

    def __init__(self, final: Path, fsync: bool = True) -> None:
        self.final, self.fsync, self.keep = final, fsync, False
        self.path, self.fd = _create(final)

    def write(self, parts: Sequence[bytes | memoryview]) -> int:
        """Append without copying; returns the number of bytes.

        Raises
        ------
        OSError
            The disk is full, or the file reached a size limit.
        """
        total = sum(map(len, parts))
        done = os.writev(self.fd, parts)
        if done < total:  # nearly always a full disk: continue, so that the system gives the reason
            rest = memoryview(b"".join(parts))
            while done < total:
                done += os.write(self.fd, rest[done:])
        return total

    def sync(self) -> None:
        if self.fsync:
            os.fsync(self.fd)

    def commit(self) -> None:
        """Make the content durable, then rename the file."""
        self.sync()
        os.replace(self.path, self.final)
        sync_folder(self.final.parent, self.fsync)

    def __enter__(self) -> Pending:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if not self.keep:
                self.path.unlink(missing_ok=True)  # it is missing if it was renamed
        finally:
            os.close(self.fd)


def write_whole(path: Path, content: bytes | memoryview, fsync: bool = True) -> None:
    """Write a small file; after an error the old one is still there."""
    with Pending(path, fsync) as file:
        file.write([content])
        file.commit()


def sync_folder(folder: Path, fsync: bool = True) -> None:
    """Make the renames in a folder survive a power cut."""
    if not fsync:
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def leftovers(folder: Path, stem: str = "") -> list[Path]:
    """Temporary files whose writers are dead."""
    return [path for path in sorted(folder.glob(f".{stem}*.tmp")) if not is_locked(path)]


def is_temporary_of(name: str, final: str) -> bool:
    """Whether `Pending` gives such a name to a file that is to become `final`."""
    return re.fullmatch(rf"\.{re.escape(final)}\.[0-9a-f]{{8}}\.tmp", name) is not None


def sweep(folder: Path, stem: str) -> None:
    """Remove the temporary files that killed writers left."""
    for path in leftovers(folder, stem):
        with abandoned(path) as is_mine:
            if is_mine:
                path.unlink()


@contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Hold the lock of what a killed writer left, so that nobody else uses or removes it meanwhile.

    Gives False if its writer lives, another process holds it, or it is gone: then it must be left alone.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _lock_now(fd) and _is_at(path, fd)
    finally:
        os.close(fd)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Allow one commit at a time in a folder. On file systems without locks, the last rename wins."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _create(final: Path) -> tuple[Path, int]:
    sweep(final.parent, glob.escape(f"{final.name}."))
    while True:
        path = final.parent / f".{final.name}.{secrets.token_hex(4)}.tmp"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        if _is_at(path, fd):  # else another process took it for a leftover between the two calls
            return path, fd
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of a file or folder, or may: we are not allowed to look."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        return not _lock_now(fd)
    finally:
        os.close(fd)


def _lock_now(fd: int) -> bool:
    """Take a lock, unless another process has it or the file system has none."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(path: Path, fd: int) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False
