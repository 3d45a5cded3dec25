"""Synthetic images of skin disease at full speed, and an honest answer to whether they help.

The functions below are the way in from a notebook or a script; the command `dermforge` is the way in from the shell.
Importing this package takes a moment only: each function is imported when it is first used.
"""

from typing import TYPE_CHECKING

from dermforge.common.lazy import lazy_names
from dermforge.common.telemetry import switch_off
from dermforge.common.version import __version__

__all__ = [
    "__version__",
    "compare",
    "fairness_card",
    "generate",
    "load_engine",
    "mix",
    "open_shards",
    "privacy",
    "quality",
    "tone",
]

if TYPE_CHECKING:
    from dermforge.datasets import mix, open_shards
    from dermforge.fairness import compare, fairness_card
    from dermforge.generation import generate, load_engine
    from dermforge.image_checks import privacy, quality, tone
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "dermforge.datasets": ["mix", "open_shards"],
            "dermforge.fairness": ["compare", "fairness_card"],
            "dermforge.generation": ["generate", "load_engine"],
            "dermforge.image_checks": ["privacy", "quality", "tone"],
        },
    )

switch_off()
