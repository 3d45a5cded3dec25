"""How far the CPU runs ahead of the device, and how long the device worked and stood still, by its own clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engines.marks import Mark

#: Steps that may be unfinished when another one is prepared: one that runs, and one that follows it without a gap. With
#: more, images that enter come after steps that were queued without them, and calls run nearly empty.
AHEAD = 2


@dataclass(frozen=True)
class _Queued:
    """A step on its way. idle: whether the device had nothing to do when the step was queued."""

    begin: Mark
    end: Mark
    idle: bool


class Pace:
    """Lets steps be queued, each after the one before the last two has ended.

    Parameters
    ----------
    mark
        Makes a mark in the device's queue.
    """

    def __init__(self, mark: Callable[[], Mark]) -> None:
        self.mark = mark
        self.queued: deque[_Queued] = deque()
        self.worked = self.stood = 0.0
        self.restart()

    def restart(self) -> None:
        """Wait for all steps; what was before does not count as standing still."""
        while self.queued:
            self._settle()
        self.last = self.before = self.mark()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Queue one step, in the block; then wait until no more than `AHEAD` are unfinished."""
        idle, begin = self.last.reached(), self.mark()
        yield
        self.last = self.mark()
        self.queued.append(_Queued(begin, self.last, idle))
        while self.queued and (len(self.queued) > AHEAD or self.queued[0].end.reached()):
            self._settle()

    def take(self) -> tuple[float, float]:
        """Seconds that the device worked on steps, and stood still before them, since this was asked last."""
        taken = self.worked, self.stood
        self.worked = self.stood = 0.0
        return taken

    def _settle(self) -> None:
        """Wait for the oldest step and count its time; other work of a device that was busy is no standing still."""
        step = self.queued.popleft()
        step.end.wait()
        self.worked += step.end.since(step.begin)
        if step.idle:
            self.stood += max(0.0, step.begin.since(self.before))
        self.before = step.end
