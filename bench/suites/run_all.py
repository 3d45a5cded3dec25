"""Benchmarks, each in a process of its own: one that fails or eats the memory leaves the others alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dermforge.common import console

PARTS = ("roofline", "engine", "sample", "paper", "shards", "train", "study")


def run(name: str, options: Sequence[str], out: Path) -> str | None:
    """Run one benchmark, its record into `out`; its lines on stderr go on to the user as they come.

    Returns
    -------
    None, or the last of those lines where it failed.
    """
    last = ""
    command = [sys.executable, "-m", "bench", name, *options, "--out", str(out), "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            console.err.print(line.rstrip(), markup=False, soft_wrap=True)
            last = line.strip() or last
    return None if process.returncode == 0 else last or f"exit status {process.returncode}"
