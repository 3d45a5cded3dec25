"""The largest difference between groups: its interval and its p, from one inversion of the groups' own intervals.

Each pair of groups has the interval that follows from the intervals of both (MOVER: Newcombe 1998 for two shares, Zou &
Donner 2008 for any two estimates). All pairs hold together: the quantile of the largest standardised difference (max-T)
takes the place of the normal one. The p is the level at which the interval touches 0, so that the two never disagree.
A small group widens its own pairs only; the plain largest difference would take its noise for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from evalsuite.stats.intervals import Bounds, z_of
from evalsuite.stats.resampling import Array

DRAWS = 20_000
#: Beyond this number of pairs their correlation is not simulated: each pair is tested at an equal share of 5 %.
MOST_PAIRS = 2_000
_LEVELS = np.arange(0.25, 6.26, 0.5)  # normal quantiles at which pairs are compared first
_POWER = float(ndtri(0.8))


@dataclass(frozen=True)
class Side:
    """One of two estimates that are compared: its value and its interval at any confidence."""

    value: float
    bounds: Bounds

    @property
    def error(self) -> float:
        """Standard error that the 95 % interval amounts to."""
        low, high = self.bounds(0.95)
        return (high - low) / (2 * z_of(0.95))


@dataclass(frozen=True)
class LargestDifference:
    """What is known of the largest difference.

    Attributes
    ----------
    low, high
        Interval of the true largest difference; low is above 0 where p is below 1 - confidence.
    p
        That all groups are equal.
    null_mean, null_p95
        Mean and 95th percentile of the largest difference of equal groups with these errors.
    detectable
        The true difference between the two groups farthest apart that would have been seen with a chance of 80 %.
    surest
        Rate, higher group and lower group of the difference that the p is of: the largest beside its own errors.
    """

    low: float
    high: float
    p: float
    null_mean: float
    null_p95: float
    detectable: float
    surest: tuple[int, int, int] = (0, 0, 0)


def mover(first: Side, second: Side, confidence: float) -> tuple[float, float]:
    """Interval of first - second, independent of each other (Zou & Donner 2008)."""
    difference = first.value - second.value
    (low_1, high_1), (low_2, high_2) = first.bounds(confidence), second.bounds(confidence)
    return (
        difference - math.hypot(first.value - low_1, high_2 - second.value),
        difference + math.hypot(high_1 - first.value, second.value - low_2),
    )


def crossing(bounds: Bounds) -> float:
    """Normal quantile at which the interval of a positive difference touches 0, and 0 where it always does."""

    def low(z: float) -> float:
        return bounds(confidence_of(z))[0]

    if low(_LEVELS[0]) <= 0:
        return 0.0 if low(1e-4) <= 0 else float(brentq(low, 1e-4, _LEVELS[0]))
    return float(_LEVELS[-1]) if low(_LEVELS[-1]) > 0 else float(brentq(low, _LEVELS[0], _LEVELS[-1], xtol=1e-9))


def confidence_of(z: float) -> float:
    """The two-sided confidence of a normal quantile."""
    return 1 - 2 * float(ndtr(-z))


def largest_difference(rates: Sequence[Sequence[Side]], confidence: float = 0.95) -> LargestDifference:
    """Interval and p of the largest difference.

    Parameters
    ----------
    rates
        The groups of each rate; several rates where the largest difference over all of them counts (equalised odds).
    """
    largest = _Largest(np.array([[side.error for side in sides] for sides in rates]))
    together = confidence_of(largest.critical(1 - confidence))
    pairs = [_strongest(sides) for sides in rates]
    reached = [crossing(_difference(sides[i], sides[j])) for sides, (i, j) in zip(rates, pairs, strict=True)]
    surest = max(range(len(rates)), key=reached.__getitem__)
    ends = [(max(sides, key=_highest), min(sides, key=_lowest)) for sides in rates]
    widest = max(ends, key=lambda pair: pair[0].value - pair[1].value)
    return LargestDifference(
        max(0.0, *(float(_lows(sides, together).max()) for sides in rates)),
        max(float(_highs(sides, confidence).max()) for sides in rates),
        largest.p(reached[surest]),
        float(largest.plain.mean()),
        float(np.quantile(largest.plain, 0.95)),
        (largest.critical(0.05) + _POWER) * math.hypot(widest[0].error, widest[1].error),
        (surest, *pairs[surest]),
    )


def _difference(first: Side, second: Side) -> Bounds:
    return lambda confidence: mover(first, second, confidence)


def _highest(side: Side) -> tuple[float, float]:
    """Of equal values the least certain: six groups without an error are no reason to take the largest for all."""
    return side.value, side.error


def _lowest(side: Side) -> tuple[float, float]:
    return side.value, -side.error


def _lows(sides: Sequence[Side], confidence: float) -> Array:
    """Lower bounds of `mover` for every ordered pair, [first, second]."""
    values, bounds = np.array([side.value for side in sides]), np.array([side.bounds(confidence) for side in sides])
    reach = np.hypot((values - bounds[:, 0])[:, None], (bounds[:, 1] - values)[None, :])
    return np.asarray(values[:, None] - values[None, :] - reach)


def _highs(sides: Sequence[Side], confidence: float) -> Array:
    """Upper bounds, [first, second]: first - second is at most what second - first is at least."""
    return -_lows(sides, confidence).T


def _strongest(sides: Sequence[Side]) -> tuple[int, int]:
    """The ordered pair that is farthest apart beside its own errors: whose lower bound stays above 0 for longest."""
    lows = np.stack([_lows(sides, confidence_of(z)) for z in _LEVELS])
    beyond = (lows > 0).sum(axis=0)
    last = np.clip(beyond, 1, len(_LEVELS) - 1)
    before, after = (np.take_along_axis(lows, place[None], 0)[0] for place in (last - 1, last))
    reached = beyond + np.where(beyond > 0, before / np.where(before > after, before - after, 1), before)
    np.fill_diagonal(reached, -np.inf)
    i, j = divmod(int(reached.argmax()), len(sides))
    return i, j


class _Largest:
    """The largest standardised difference of equal groups with these errors, [rates, groups]."""

    def __init__(self, errors: Array) -> None:
        self.pairs = errors.shape[0] * errors.shape[1] * (errors.shape[1] - 1) // 2
        drawn = _normals(errors.size).reshape(*errors.shape, -1) * errors[:, :, None]
        self.plain = np.ptp(drawn, axis=1).max(axis=0)
        self.largest = np.zeros(drawn.shape[-1])
        if self.pairs <= MOST_PAIRS:
            for rate, error in zip(drawn, errors, strict=True):
                for i, j in combinations(range(len(rate)), 2):
                    np.maximum(self.largest, np.abs(rate[i] - rate[j]) / math.hypot(error[i], error[j]), self.largest)

    def p(self, z: float) -> float:
        """How often it reaches z; from the number of pairs alone where draws cannot tell."""
        alone: float = min(1.0, self.pairs * 2 * float(ndtr(-z)))
        reached = int((self.largest >= z).sum())
        return min(alone, reached / len(self.largest)) if reached >= 20 else alone

    def critical(self, p: float) -> float:
        """The value that it reaches with this chance, such that `p` agrees."""
        if self.pairs > MOST_PAIRS:
            return -float(ndtri(p / self.pairs / 2))
        return min(float(np.quantile(self.largest, 1 - p)), -float(ndtri(p / self.pairs / 2)))


@cache
def _normals(count: int) -> NDArray[np.float64]:
    """Standard normal draws for `count` estimates, [count, draws]: the same for all metrics and at each run."""
    return np.random.default_rng(0).normal(size=(count, DRAWS if count <= 200 else DRAWS // 10))
