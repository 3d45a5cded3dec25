"""Benchmarks, each in a process of its own, so that one that fails or runs out of memory does not stop the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE

from dermforge.common import processes

PARTS = ("roofline", "engine", "sample", "paper", "shards", "train", "study")


def run(name: str, options: Sequence[str], out: Path, say: Callable[[str], object]) -> str | None:
    """Run one benchmark, which writes its record into `out`.

    Parameters
    ----------
    say
        Called with each line that the benchmark writes to stderr.

    Returns
    -------
    None, or the last of those lines if the benchmark failed.
    """
    last = ""
    command = [sys.executable, "-P", "-m", "bench", name, *options, "--out", str(out), "--json"]
    with processes.program(command, stdout=DEVNULL, stderr=PIPE) as process:
        for line in process.stderr or ():
            say(line.rstrip())
            last = line.strip() or last
    return None if process.returncode == 0 else last or f"exit status {process.returncode}"
