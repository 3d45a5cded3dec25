"""The processes that we start find modules where they are installed, never in the current folder, and end with us.

Python puts the current folder first on the path of `python -c` and `python -m`, and so of every process that
`multiprocessing` spawns. The folder that a command works in holds other people's files: a `json.py` there would run.

A command that is killed has no time to end its workers: the system does it, so that none goes on alone in memory.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from subprocess import Popen
from typing import Any

from dermforge.common.errors import UserError

#: What the system is asked for (`man 2 PR_SET_PDEATHSIG`).
_SIGNAL_AT_PARENTS_DEATH = 1


def find_only_installed_modules() -> None:
    """Keep the current folder off the path of every Python that this process starts, and of theirs in turn."""
    os.environ["PYTHONSAFEPATH"] = "1"  # the same as `python -P`, and inherited


class _EndingProcess(SpawnProcess):
    """A new process that asks to end with us before it imports its work, which takes seconds where that needs torch."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _new_that_ends_with, (os.getpid(),), vars(self)  # the new process makes its parts in this order


def _new_that_ends_with(parent: int) -> _EndingProcess:
    end_with_parent(parent)
    return _EndingProcess.__new__(_EndingProcess)


class _EndingContext(SpawnContext):
    Process = _EndingProcess


def spawning() -> SpawnContext:
    """The context of `multiprocessing` that starts new processes, which end with this one.

    A fork would inherit torch's threads and memory.
    """
    find_only_installed_modules()
    return _EndingContext()


@contextmanager
def pool(workers: int | None = None, spawn: bool = False) -> Iterator[ProcessPoolExecutor]:
    """Processes for small jobs, which end with this one.

    Parameters
    ----------
    workers
        How many; None: one a core.
    spawn
        Start them anew, with memory and libraries of their own; otherwise they are forks of this process.

    Raises
    ------
    UserError
        One of them was killed.
    """
    try:
        with ProcessPoolExecutor(workers, spawning() if spawn else None, end_with_parent) as started:
            yield started
    except BrokenProcessPool as error:
        raise UserError(
            "a process that this command started was killed, often for lack of memory; free some and run it again"
        ) from error


def program(command: list[str], **options: Any) -> Popen[str]:
    """Start another program, which ends with this process; `options` as `subprocess.Popen` takes them."""
    find_only_installed_modules()
    return Popen(command, preexec_fn=partial(end_with_parent, os.getpid()), text=True, **options)


def end_with_parent(parent: int | None = None) -> None:
    """Let the system kill this process when the thread that started it ends, however it ends; on Linux only.

    Parameters
    ----------
    parent
        The process that started this one; None: as `multiprocessing` knows it.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL)
    starter = parent_process()
    expected = parent if parent is not None else starter.pid if starter else os.getppid()
    if os.getppid() != expected:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGKILL)
