"""Commands, run in this process."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module

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
