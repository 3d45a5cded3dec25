"""Commands, run in this process; and the environment of those that run in another."""

from __future__ import annotations

import os
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest


def call(line: str) -> int:
    """Run a command line in this process; its exit status."""
    before = sys.argv
    sys.argv = shlex.split(line)
    try:
        with pytest.raises(SystemExit) as ended:
            import_module(f"{sys.argv[0]}.cli").main()
    finally:
        sys.argv = before
    return int(ended.value.code or 0)


def importing_from(folder: Path) -> dict[str, str]:
    """This process' environment for another Python, which looks into a folder first and then where this one looks."""
    places = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]  # an empty one would be the current folder
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)}
