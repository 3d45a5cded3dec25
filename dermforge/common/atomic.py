"""Files that are written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType


class Pending:
    """A file written under a temporary name next to `final`: `commit` renames it, leaving without it removes it.

    The temporary file is locked as long as its writer lives. One without a lock is the leftover of a killed writer.

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
        if not self.keep:
            with suppress(FileNotFoundError):  # it was renamed, or another process swept it
                self.path.unlink()
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


def sweep(folder: Path, stem: str) -> None:
    """Remove the temporary files that killed writers left."""
    for path in leftovers(folder, stem):
        with suppress(FileNotFoundError):
            path.unlink()


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
    while True:
        path = final.parent / f".{final.name}.{secrets.token_hex(4)}.tmp"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:  # else swept between the two calls
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
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(fd)
