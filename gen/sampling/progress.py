"""What a run says of itself: how far each stage is and, in the end, what the engine waited for."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

STAGES = ("prepare", "denoise", "decode", "encode", "write")
#: What the engine waits for, by whether images must leave before others may enter.
WAITS = {False: "preparing", True: "decoding and writing"}


@dataclass(frozen=True)
class StageProgress:
    """How far a stage is: the images that passed it, and the part of the time that it worked (over 1: in threads)."""

    name: str
    images: int
    busy: float


@dataclass(frozen=True)
class Summary:
    """What a run did and what the engine waited for.

    Attributes
    ----------
    forwards_per_image
        Rows of UNet calls that were of use, for each image.
    calls
        UNet calls.
    filled
        Part of all rows of all UNet calls that were of use.
    waiting
        Part of the time that the engine stood still.
    waited
        Seconds that the engine stood still, by what it waited for.
    busy
        Seconds that each stage worked.
    """

    images: int
    shards: int
    seconds: float
    images_per_second: float
    forwards_per_image: float
    calls: int
    filled: float
    waiting: float
    waited: dict[str, float]
    busy: dict[str, float]
    peak_memory_mb: float


class Clock:
    """Seconds and images by name since the run began; each name belongs to one thread, or to stages that add up."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.seconds: dict[str, float] = defaultdict(float)
        self.images: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    @property
    def elapsed(self) -> float:
        return max(time.perf_counter() - self.started, 1e-9)

    @contextmanager
    def __call__(self, name: str, images: int = 0) -> Iterator[None]:
        """Time a block of code, which some images pass."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start, images)

    def add(self, name: str, seconds: float, images: int = 0) -> None:
        with self._lock:
            self.seconds[name] += seconds
            self.images[name] += images

    def stages(self) -> list[StageProgress]:
        """Where each stage is now."""
        elapsed = self.elapsed
        return [StageProgress(k, self.images[k], self.seconds[k] / elapsed) for k in STAGES]
