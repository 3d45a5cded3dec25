"""sha256 of bytes, files, folders and streams."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from dermforge.common.regular_file import open_regular

#: Below this many bytes a digest costs less than handing it to a thread.
INLINE = 32 << 10
#: How many images may wait for their digests, and how many writes the stream's digest may be behind. That many bridge
#: the stalls of a disk.
AHEAD = 16


def digest_bytes(data: bytes) -> str:
    """sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_stream(file: BinaryIO) -> str:
    """sha256 of what is left of an open file, read in pieces."""
    total = hashlib.sha256()
    while piece := file.read(8 << 20):
        total.update(piece)
    return total.hexdigest()


def digest_files(root: Path, files: Iterable[Path]) -> str:
    """One sha256 over several files: their names relative to `root` and their contents, in sorted order."""
    total = hashlib.sha256()
    for name, path in sorted((p.relative_to(root).as_posix(), p) for p in files):
        total.update(f"{name}\0{digest_file(path)}\n".encode())
    return total.hexdigest()


class StreamDigest:
    """sha256 of a stream, a few writes behind it in a thread (hashlib releases the GIL)."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.pool = ThreadPoolExecutor(1)
        self.behind: deque[Future[None]] = deque()

    def update(self, parts: list[bytes]) -> None:
        """Take in these bytes, now or soon; they must not change."""
        if not self.behind and sum(map(len, parts)) < INLINE:
            self._hash(parts)
            return
        self.behind.append(self.pool.submit(self._hash, parts))
        self._wait(AHEAD)

    def hexdigest(self) -> str:
        """Of all bytes so far."""
        self._wait(0)
        return self.hash.hexdigest()

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def _hash(self, parts: list[bytes]) -> None:
        for part in parts:
            self.hash.update(part)

    def _wait(self, keep: int) -> None:
        while len(self.behind) > keep:
            self.behind.popleft().result()
