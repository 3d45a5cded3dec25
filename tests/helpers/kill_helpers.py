"""Processes that are killed at a given call, to test every state of the disk."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

#: Every call of the writer that changes the disk; it is killed before and after each.
STEPS = ("open", "writev", "fsync", "replace", "unlink")


def in_child(body: Callable[[], object]) -> int:
    """Run in a forked process; returns its exit status, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(step: int, after: bool, body: Callable[[], object]) -> bool:
    """Run in a forked process that kills itself at the given call; False if there are fewer calls."""

    def child() -> None:
        calls = 0
        for name in STEPS:
            real = getattr(os, name)

            def stepped(*args: object, _real: Callable[..., object] = real, **kwargs: object) -> object:
                nonlocal calls
                calls += 1
                mine = calls == step
                if mine and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = _real(*args, **kwargs)
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            setattr(os, name, stepped)
        body()

    return in_child(child) == -signal.SIGKILL


def kill_everywhere(body: Callable[[], object], prepare: Callable[[], object], check: Callable[[], object]) -> int:
    points = 0
    for after in (False, True):
        step = 1
        while True:
            prepare()
            if not killed_at(step, after, body):
                break
            check()
            step, points = step + 1, points + 1
    return points
