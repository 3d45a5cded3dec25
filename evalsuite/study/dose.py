"""Dose and response: beyond which dose more synthetic images bring no relevant gain. Pure functions.

Scores are accuracies (or other shares, higher is better). Doses are synthetic images for each real one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evalsuite.stats.estimate import points

Status = Literal["reached", "by then", "nothing gained", "not reached", "cannot be determined", "not enough data"]
#: The margin in standard errors at which the upper bound lies below it in 80 % of studies: 1.96 + 0.84.
ERRORS_IN_MARGIN = 2.8


@dataclass(frozen=True)
class Step:
    """The gain from one dose to another, for each doubling of the dose; the first step starts at 0."""

    start: float
    end: float
    gain: float
    low: float
    high: float

    def is_flat(self, margin: float) -> bool:
        """Whether a relevant gain is excluded. An interval that holds 0 and the margin shows nothing."""
        return self.high < margin

    def text(self) -> str:
        gain, between = points(self.gain, self.low, self.high)
        where = f"from {self.start:g}:1 to {self.end:g}:1 a doubling" if self.start else f"{self.end:g}:1"
        return f"{where} adds {gain} points ({between})"


@dataclass(frozen=True)
class Further:
    """What the doses above one of them bring in all, not for each doubling."""

    start: float
    end: float
    value: float
    low: float
    high: float

    def text(self) -> str:
        gain, between = points(self.value, self.low, self.high)
        return f"from {self.start:g}:1 to {self.end:g}:1 {gain} points in all ({between})"


@dataclass(frozen=True)
class Saturation:
    """Beyond which dose a doubling brings no relevant gain.

    Attributes
    ----------
    status
        `reached`: at `ratio`, up to which the score rises. `by then`: at `ratio` or before, since the step up to it is
        not clear. `nothing gained`: no dose brings a relevant gain, `ratio` is 0. Otherwise `ratio` is NaN.
    margin
        Gains for each doubling up to this do not matter.
    tail
        The gain from `ratio` on; None where there is none to name.
    needed
        About how many test images and training runs of each arm would settle the last step; None: not asked.
    lacking
        What lacks for a verdict.
    """

    ratio: float
    status: Status
    steps: tuple[Step, ...]
    margin: float
    tail: Step | None = None
    needed: tuple[int, int] | None = None
    lacking: str = ""

    @property
    def is_determined(self) -> bool:
        return self.status not in ("cannot be determined", "not enough data")

    def text(self) -> str:
        if self.status == "not enough data":
            return f"not enough data: {self.lacking}"
        last, less = self.steps[-1], f"less than {100 * self.margin:g}"
        if self.status == "not reached":
            return f"not reached at {last.end:g}:1, the largest dose measured: {last.text()}"
        if self.status == "cannot be determined":
            return f"cannot be determined: {last.text()}{self._would_tell()}"
        after = f": {self.tail.text()}, {less}{self._added_up()}" if self.tail else ""
        if self.status == "nothing gained":
            return f"no dose brings a relevant gain{after}"
        return f"{self.ratio:g}:1{' or fewer' if self.status == 'by then' else ''}{after}"

    def _added_up(self) -> str:
        """What flat doublings bring together, where that matters."""
        if self.tail is None or not self.tail.start:
            return ""
        total = self.tail.gain * doublings(self.tail.start, self.tail.end)
        return f", and {100 * total:+.1f} in all" if total >= self.margin else ""

    def _would_tell(self) -> str:
        if self.needed is None:
            return ""
        images, seeds = self.needed
        return f"; about {_round(images)} test images and {seeds} training runs of each arm would tell"


def doublings(start: float, end: float) -> float:
    """Of the dose; the first step, which has no start to double, counts as one."""
    return math.log2(end / start) if start > 0 else 1.0


def saturation(
    ratios: Sequence[float],
    gains: Sequence[tuple[float, float, float]],
    margin: float = 0.02,
    tails: Sequence[tuple[float, float, float]] = (),
    in_all: Sequence[tuple[float, float, float]] = (),
) -> Saturation:
    """The smallest dose from which on a relevant gain is excluded.

    Not to have seen a gain is no saturation: where an interval reaches the margin, a gain may have been missed.

    Parameters
    ----------
    ratios
        Ascending, beginning with 0, [m].
    gains
        Gain from each dose to the next with its interval (value, low, high), paired, [m - 1].
    margin
        Gains for each doubling up to this do not matter.
    tails
        Gain for each doubling from each dose to the last one, by a line through all of them, with its interval,
        [m - 1]: it is surer than any step, and counts where no step of it is shown to rise.
    in_all
        Gain of each dose over none, with its interval, [m - 1]. Small steps add up: nothing is gained only where every
        one of these excludes a relevant gain.
    """
    steps = tuple(
        Step(start, end, *(value / doublings(start, end) for value in gain))
        for start, end, gain in zip(ratios[:-1], ratios[1:], gains, strict=True)
    )
    lines = [Step(start, ratios[-1], *tail) for start, tail in zip(ratios, tails, strict=False)]
    maybe_gained = any(high >= margin for _, _, high in in_all)
    for first, start in enumerate(steps):
        if first == 0 and maybe_gained:
            continue
        later, line = steps[first:], lines[first] if lines else start
        on_a_line = bool(lines) and line.is_flat(margin) and not any(step.low > 0 for step in later)
        if on_a_line or all(step.is_flat(margin) for step in later):
            rose = first > 0 and steps[first - 1].low > 0
            status: Status = "reached" if rose else "by then" if first else "nothing gained"
            tail = line if first or not in_all else Step(0.0, ratios[-1], *in_all[-1])
            return Saturation(start.start, status, steps, margin, tail)
    return Saturation(math.nan, "not reached" if steps and steps[-1].low > 0 else "cannot be determined", steps, margin)


def _round(number: int) -> str:
    """Two digits: an estimate of a variance allows no more."""
    step = 10 ** max(0, len(str(number)) - 2)
    return f"{math.ceil(number / step) * step:,}"
