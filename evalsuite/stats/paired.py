"""Two models on the same rows: intervals of a difference that hold where hardly a row differs.

A bootstrap of rows without any difference has no width: it calls a loss of five points "no worse" in half of all
tables of ten positives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from evalsuite.stats.intervals import Bounds, Quantile, z_of
from evalsuite.stats.largest_difference import Side, crossing


def tango(
    only_a: float, only_b: float, n: float, confidence: float = 0.95, deff: float = 1.0, quantile: Quantile = z_of
) -> tuple[float, float]:
    """Score interval of share(b right) - share(a right) on the same rows (Tango 1998); NaN without rows.

    Parameters
    ----------
    only_a, only_b
        Rows on which just one of the two is right.
    deff
        Design effect of clustered rows: all counts shrink.
    """
    if n <= 0:
        return math.nan, math.nan
    a, b, m, z = only_a / deff, only_b / deff, n / deff, quantile(confidence)
    difference = (b - a) / m

    def beyond(delta: float) -> float:
        """Squared distance of the difference from delta, in errors under delta, less z squared."""
        p = -a - b + (2 * m - b + a) * delta
        one_sided = (math.sqrt(max(p * p + 8 * m * a * delta * (1 - delta), 0.0)) - p) / (4 * m)
        variance = m * max(2 * one_sided + delta * (1 - delta), 0.0)
        return (b - a - m * delta) ** 2 - z * z * variance

    def bound(end: float) -> float:
        """Between the difference and an end. At the difference itself the variance may be 0: start beside it."""
        beside = difference + math.copysign(1e-9, end)
        if abs(difference - end) < 1e-6 or beyond(end * (1 - 1e-12)) <= 0:
            return end
        return float(brentq(beyond, beside, end * (1 - 1e-12))) if beyond(beside) < 0 else difference

    return min(bound(-1.0), difference), max(bound(1.0), difference)


def mean_of(parts: Sequence[Side]) -> Side:
    """The plain mean of independent estimates (MOVER: Zou & Donner 2008)."""
    value = float(np.mean([part.value for part in parts]))

    def bounds(confidence: float) -> tuple[float, float]:
        found = [(part.value, *part.bounds(confidence)) for part in parts]
        below, above = (math.hypot(*(v - low for v, low, _ in found)), math.hypot(*(high - v for v, _, high in found)))
        return value - below / len(parts), value + above / len(parts)

    return Side(value, bounds)


def p_of(difference: Side) -> float:
    """Two-sided p that a difference is 0: the level at which its interval touches 0; NaN where undefined."""
    if not math.isfinite(difference.value) or not math.isfinite(difference.bounds(0.95)[0]):
        return math.nan
    if difference.value == 0:
        return 1.0
    return 2 * float(ndtr(-crossing(difference.bounds if difference.value > 0 else _mirrored(difference.bounds))))


def _mirrored(bounds: Bounds) -> Bounds:
    def mirrored(confidence: float) -> tuple[float, float]:
        low, high = bounds(confidence)
        return -high, -low

    return mirrored
