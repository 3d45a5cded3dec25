"""Processes that end at a given call, by a signal or an error, to test every state of the disk."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable

#: Every call of the writer that changes the disk; it is killed before and after each.
STEPS = ("open", "writev", "fsync", "replace", "unlink")


#: How a process may end.
ENDS = ("SIGKILL", "SIGTERM", "SIGINT", "EIO", "ENOSPC", "EMFILE")
_REACHED = 7


def in_child(body: Callable[[], object]) -> int:
    """Run in a forked process; returns its exit status, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def end_process(how: str) -> None:
    """Let the process end by a signal, as a command takes it, or by an error of the system."""
    if how.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, how))
    else:
        raise OSError(getattr(errno, how), "injected")


def ended_at(step: int, after: bool, body: Callable[[], object], how: str = "SIGKILL") -> bool:
    """Run in a forked process that ends at the given call; False if there are fewer calls."""

    def child() -> None:
        calls, reached = 0, False
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in STEPS:
            real = getattr(os, name)

            def stepped(*args: object, _real: Callable[..., object] = real, **kwargs: object) -> object:
                nonlocal calls, reached
                calls += 1
                mine = calls == step
                if mine and not after:
                    reached = True
                    end_process(how)
                result = _real(*args, **kwargs)
                if mine and after:
                    reached = True
                    end_process(how)
                return result

            setattr(os, name, stepped)
        try:
            body()
        except BaseException:
            if not reached:
                raise
        finally:
            if reached:
                os._exit(_REACHED)

    return in_child(child) in (_REACHED, -signal.SIGKILL)


def kill_everywhere(
    body: Callable[[], object],
    prepare: Callable[[], object],
    check: Callable[[], object],
    how: str = "SIGKILL",
    every: int = 1,
) -> int:
    """End the body before and after each of its calls, or every n-th of them; the number of points."""
    points = 0
    for after in (False, True):
        step = 1 + ENDS.index(how) % every
        while True:
            prepare()
            if not ended_at(step, after, body, how):
                break
            check()
            step, points = step + every, points + 1
    return points
