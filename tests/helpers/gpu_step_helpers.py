"""Steps for the runner of `bench gpu` that need no torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from bench.measure.record import higher
from bench.suites.gpu.results import Job, Report


def prepare(job: Job, report: Report) -> int:
    """What a worker keeps: its process id."""
    report.note(prepared=os.getpid())
    return os.getpid()


def measure(job: Job, report: Report, *prepared: Any) -> None:
    """A number, and whether the preparation was of this process."""
    report.measured(higher(report.step, "things/s", [1.0], {"prepared": prepared in ((), (os.getpid(),))}))


def hang_with_a_child(job: Job, report: Report) -> None:
    """Say something, start a process that holds every pipe, and never end."""
    report.note(child=subprocess.Popen(["sleep", "600"]).pid)
    time.sleep(600)


def lose_the_process(job: Job, report: Report) -> None:
    """A crash in native code, with a child left behind."""
    report.note(child=subprocess.Popen(["sleep", "600"]).pid)
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(job: Job, report: Report) -> None:
    sys.exit(3)


def miss_a_package(job: Job, report: Report) -> None:
    import no_such_package_here  # noqa: F401


def miss_a_module(job: Job, report: Report) -> None:
    import bench.no_such_module  # noqa: F401


def refuse(job: Job, report: Report, *prepared: Any) -> None:
    report.measured(higher("before it failed", "things/s", [2.0]))
    raise ValueError("three is\nnot four")
