"""A temporary folder for shards that are about to be uploaded.

It is deleted when its writer ends. The folders of writers that were killed are deleted by the next writer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PREFIX = "dermforge-staging-"


class Staging:
    """A new folder in the system's temporary one, locked as long as its writer lives.

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
            with suppress(OSError):  # a file system without locks: no other writer can sweep there either
                fcntl.flock(self.fd, fcntl.LOCK_EX)
            if self.root.is_dir():  # else another writer swept it before it was locked
                break
            os.close(self.fd)
        self.path = self.root / "shards"  # not the root: a commit locks the folder of its shard
        self.path.mkdir()

    def empty(self) -> None:
        for path in self.path.iterdir():
            path.unlink()

    def close(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        os.close(self.fd)

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _sweep(root: Path) -> None:
    for path in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # of another user, or its writer lives
            fd = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(fd)
