"""The folder where compilers keep timings and engine files of their own, outside any bundle."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/dermforge`, or `~/.cache/dermforge`; safe to delete."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "dermforge"
