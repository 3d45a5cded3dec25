"""What the sampler's stages share: a bounded number of images, their order, and the first error."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """Another stage failed, so this one ends without an error of its own."""


class InFlightBuffer(Generic[T]):
    """Bounds the run's memory: at most `window` images are between the plan and the disk.

    Images enter and leave in order, so the one that the writer waits for is always inside.

    Attributes
    ----------
    again
        Images that go back to the first stage, for another phase.
    blocked
        Whether the first stage waits for images to leave; until one does, no new ones enter.
    """

    def __init__(self, window: int) -> None:
        self.window, self.inside = window, 0
        self.again: deque[T] = deque()
        self.blocked = False
        self.error: BaseException | None = None
        self._results: dict[int, T] = {}
        self._change = threading.Condition()

    def enter(self, most: int, more: bool, returning: int) -> tuple[list[T], int]:
        """Wait for work; returns images that came back, and how many new ones may enter.

        Parameters
        ----------
        most
            Most images to take at once.
        more
            Whether the plan has more.
        returning
            Images that are still to come back; where there are none, and no more in the plan, ([], 0) ends the run.
        """
        with self._change:
            while not self.again and not (more and self.inside < self.window):
                if not more and not returning:
                    return [], 0
                self.blocked = True
                self._wait()
            self.blocked = False
            self._check()
            back = [self.again.popleft() for _ in range(min(most, len(self.again)))]
            new = min(most - len(back), self.window - self.inside) if more else 0
            self.inside += new
            return back, new

    def unused(self, n: int) -> None:
        """Return places that were given and not used, at the end of the plan."""
        with self._change:
            self.inside -= n

    def send_back(self, item: T) -> None:
        with self._change:
            self.again.append(item)
            self._change.notify_all()

    def deliver(self, number: int, item: T) -> None:
        with self._change:
            self._results[number] = item
            self._change.notify_all()

    def collect(self, number: int) -> T:
        """Wait for one image's result."""
        with self._change:
            while number not in self._results:
                self._wait()
            return self._results.pop(number)

    def leave(self) -> None:
        with self._change:
            self.inside -= 1
            self._change.notify_all()

    def stop(self, error: BaseException) -> None:
        """End every stage; the first error is the one that is raised."""
        with self._change:
            self.error = self.error or error
            self._change.notify_all()

    def check_stopped(self) -> None:
        with self._change:
            self._check()

    def _wait(self) -> None:
        self._check()
        self._change.wait()
        self._check()

    def _check(self) -> None:
        if self.error is not None:
            raise Stopped
