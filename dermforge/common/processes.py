"""The processes that we start find modules where they are installed, never in the current folder.

Python puts the current folder first on the path of `python -c` and `python -m`, and so of every process that
`multiprocessing` spawns. The folder that a command works in holds other people's files: a `json.py` there would run.
"""

from __future__ import annotations

import os
from multiprocessing import get_context
from multiprocessing.context import SpawnContext


def find_only_installed_modules() -> None:
    """Keep the current folder off the path of every Python that this process starts, and of theirs in turn."""
    os.environ["PYTHONSAFEPATH"] = "1"  # the same as `python -P`, and inherited


def spawning() -> SpawnContext:
    """The context of `multiprocessing` that starts new processes: a fork would inherit torch's threads and memory."""
    find_only_installed_modules()
    return get_context("spawn")
