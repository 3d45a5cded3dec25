"""A folder for shards on their way to a bucket. It goes with its writer; what a killed one left goes with the next."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PREFIX = "dermforge-spool-"


class Spool:
    """A new folder among the system's temporary ones, locked while its writer lives.

    Attributes
    ----------
    path
        Where the files go.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        while True:
            self.root = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self.fd = os.open(self.root, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks: nobody sweeps there either
                fcntl.flock(self.fd, fcntl.LOCK_EX)
            if self.root.is_dir():  # else swept before it was locked
                break
            os.close(self.fd)
        self.path = self.root / "shards"  # a commit locks its own folder
        self.path.mkdir()

    def empty(self) -> None:
        for path in self.path.iterdir():
            path.unlink()

    def close(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        os.close(self.fd)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _sweep(root: Path) -> None:
    for path in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or its writer lives
            fd = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(fd)
