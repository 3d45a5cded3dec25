"""Progress bars are drawn by commands: those that libraries draw while they load weights are off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import import_module


@contextlib.contextmanager
def without_bars(*libraries: str) -> Iterator[None]:
    """Silence the progress bars of libraries: of "diffusers", "transformers" or both."""
    shown = [bars for name in libraries if (bars := import_module(f"{name}.utils.logging")).is_progress_bar_enabled()]
    for bars in shown:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        for bars in shown:
            bars.enable_progress_bar()
