"""sha256 beside the work that it must not hold up."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

#: Below this a digest costs less than handing it to a thread.
INLINE = 32 << 10
#: Images whose digests may be under way, and writes that the digest of the tar may be behind: enough to bridge the
#: stalls of a disk.
AHEAD = 16


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
