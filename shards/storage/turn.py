"""One process at a time changes what is in a folder or bucket; the others wait, and are refused after a while.

In a folder the turn is a lock that the system takes back when its process ends. A bucket has no locks: there it is a
numbered object, created only if there is none of that name (`.writer.000003.lock`), which its holder writes again every
few seconds. The highest number has the turn, until it says that it is over or is not written for a minute.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dermforge.common.errors import UserError
from shards.storage.bucket import Bucket
from shards.storage.location import address, is_url

#: Seconds that another process is waited for.
PATIENCE = 180.0
#: Seconds after which a turn in a bucket has ended if its holder did not write it again.
LEASE = 60.0
_POLL_S = 0.2
#: In a folder; a killed process leaves it, unlocked.
LOCK = ".writer.tmp"
#: What a bucket holds of it, as a name pattern.
LOCKS = ".writer.*.lock"
_TURN = re.compile(r"^\.writer\.(?P<number>[0-9]{6})\.lock$")
_OVER = b"over\n"
#: File systems without locks.
_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def turn(location: str | Path, patience: float | None = None) -> Iterator[None]:
    """Be the only one who changes a folder or bucket.

    Parameters
    ----------
    patience
        Seconds to wait for another process; None for `PATIENCE`; 0 where its work takes hours.

    Raises
    ------
    UserError
        Another process has the turn for longer than that. Nothing was changed.
    """
    attempt = _bucket_turn(Bucket(address(location))) if is_url(location) else _folder_turn(Path(location))
    end = time.monotonic() + (PATIENCE if patience is None else patience)
    while (release := next(attempt)) is None:
        if time.monotonic() > end:
            raise UserError(f"another process is changing {location}; run the same command again when it has finished")
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        release()


Attempts = Iterator[Callable[[], None] | None]


def _folder_turn(folder: Path) -> Attempts:
    """Attempts to take the turn: how to give it back, or None while another process has it."""
    path = folder / LOCK
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        taken = _lock(fd) and os.fstat(fd).st_nlink > 0  # without a name it is the lock of one who has finished
        if not taken:
            os.close(fd)
            yield None
            continue

        def release(fd: int = fd) -> None:
            try:
                path.unlink(missing_ok=True)
            finally:
                os.close(fd)

        yield release


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNKNOWN:
            os.close(fd)
            raise
    return True


def _bucket_turn(bucket: Bucket) -> Attempts:
    seen: tuple[str | None, bytes | None] | None = None
    since = time.monotonic()
    while True:
        name = _highest(bucket)
        content = bucket.read_if_there(name) if name else _OVER
        if (now := (name, content)) != seen:
            seen, since = now, time.monotonic()
        if content is None or (content != _OVER and time.monotonic() - since < LEASE):
            yield None
            continue
        mine = f".writer.{_number(name) + 1:06d}.lock"
        if not bucket.create(mine, _beat(0)):
            yield None
        elif _highest(bucket) != mine:  # a later turn began meanwhile
            bucket.remove(mine)
            yield None
        else:
            yield _hold(bucket, mine)


def _hold(bucket: Bucket, mine: str) -> Callable[[], None]:
    """Write the turn again and again, until it is given back."""
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(LEASE / 6):
            count += 1
            with suppress(UserError):  # the store does not answer: the next beat may arrive
                bucket.write(mine, _beat(count))

    thread = threading.Thread(target=beat, daemon=True)
    for name in bucket.names():
        if _TURN.match(name) and name < mine:
            bucket.remove(name)
    thread.start()

    def release() -> None:
        ended.set()
        thread.join()
        bucket.write(mine, _OVER)

    return release


def _highest(bucket: Bucket) -> str | None:
    return max(filter(_TURN.match, bucket.names(missing_ok=True)), default=None)


def _number(name: str | None) -> int:
    found = _TURN.match(name) if name else None
    return int(found["number"]) if found else 0


def _beat(count: int) -> bytes:
    return f"{os.getpid()} {secrets.token_hex(4)} {count}\n".encode()
