"""Equivalence: an interval within its margins passes, one outside of them fails, any other says nothing.

Two one-sided tests at 5 % are a 90 % interval within the margins (Schuirmann 1987). Many rows that must all pass need
no correction: the claim that all are within their margins is an intersection-union test, whose level is that of one row
(Berger 1982; Berger & Hsu 1996). The claim that some row is outside is a union, so that a fail is judged at 5 % over
the number of rows (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evalsuite.stats.intervals import Bounds, t_of

Verdict = Literal["pass", "fail", "cannot be determined"]
LEVEL = 0.05


@dataclass(frozen=True)
class Margin:
    """What a value may be, its ends included; None: no end on this side."""

    low: float | None = None
    high: float | None = None

    def holds(self, low: float, high: float) -> bool:
        """Whether an interval lies within."""
        return (self.low is None or low >= self.low) and (self.high is None or high <= self.high)

    def excludes(self, low: float, high: float) -> bool:
        """Whether an interval lies outside, on one side."""
        return (self.low is not None and high < self.low) or (self.high is not None and low > self.high)


def confidence_of(rows: int = 1) -> float:
    """Of the two-sided interval whose ends are one-sided tests, at `LEVEL` over so many rows."""
    return 1 - 2 * LEVEL / max(rows, 1)


def judge(bounds: Bounds, margin: Margin, rows: int = 1) -> Verdict:
    """The verdict on one of `rows` rows.

    Parameters
    ----------
    bounds
        The interval of the value at any confidence; NaN where it is not known.
    """
    low, high = bounds(confidence_of())
    if math.isnan(low) or math.isnan(high):
        return "cannot be determined"
    if margin.holds(low, high):
        return "pass"
    return "fail" if margin.excludes(*bounds(confidence_of(rows))) else "cannot be determined"


def whole(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on all rows: one that fails fails all; all must pass."""
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts and set(verdicts) == {"pass"} else "cannot be determined"


def by_student(value: float, variance: float, degrees: float) -> Bounds:
    """Bounds of a value with this variance, by Student's quantile."""
    error = math.sqrt(variance) if variance >= 0 else math.nan
    return lambda confidence: (value - t_of(confidence, degrees) * error, value + t_of(confidence, degrees) * error)


def ratio_bounds(
    top: float, bottom: float, variances: tuple[float, float], covariance: float, degrees: float
) -> Bounds:
    """Bounds of top / bottom (Fieller 1954); unbounded where `bottom` cannot be told from 0.

    Parameters
    ----------
    variances, covariance
        Of top and bottom.
    """

    def bounds(confidence: float) -> tuple[float, float]:
        if not all(map(math.isfinite, (top, bottom, *variances, covariance))):
            return math.nan, math.nan
        t2, (of_top, of_bottom) = t_of(confidence, degrees) ** 2, variances
        a, b = bottom**2 - t2 * of_bottom, top * bottom - t2 * covariance
        if a <= 0:
            return -math.inf, math.inf
        # b**2 - a * c, without the terms that cancel: never below 0 where a is above it
        spread = of_top * bottom**2 - 2 * covariance * top * bottom + of_bottom * top**2
        root = math.sqrt(max(0.0, t2 * (spread - t2 * (of_top * of_bottom - covariance**2))))
        return (b - root) / a, (b + root) / a

    return bounds
