"""How library code says how far it is. It draws nothing; a command passes `console.progress`, which draws a bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Ticker(Protocol):
    """Counts finished units of a long job."""

    def __call__(self, n: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Opens the display of one stage of a job, which its ticker moves on; `total` is None where it is unknown."""

    def __call__(self, what: str, total: int | None, unit: str = "images") -> AbstractContextManager[Ticker]: ...


@contextmanager
def silent(what: str, total: int | None, unit: str = "images") -> Iterator[Ticker]:
    """A `Progress` that shows nothing."""
    yield no_tick


def no_tick(n: int = 1, note: str = "") -> None:
    """A `Ticker` that counts nothing."""
