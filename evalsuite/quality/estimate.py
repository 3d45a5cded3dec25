"""A number with its interval; NaN means "not enough data"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.stats import intervals

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Estimate:
    """value with a confidence interval [low, high]; n: units behind it; note: why a value is missing."""

    value: float
    low: float
    high: float
    n: int
    note: str = ""

    def text(self, digits: int = 3, style: str = "f") -> str:
        """For tables: "0.123 (0.100 to 0.150)" or "not enough data"; style "g" counts significant digits."""
        if np.isnan(self.value):
            return "not enough data"
        value, low, high = (f"{v:.{digits}{style}}" for v in (self.value, self.low, self.high))
        return value if np.isnan(self.low) else f"{value} ({low} to {high})"


def missing(n: int, note: str) -> Estimate:
    """A number that cannot be had, and why."""
    return Estimate(float("nan"), float("nan"), float("nan"), n, note)


def wilson(hits: int, n: int, level: float = 0.95) -> Estimate:
    """A proportion with its score interval (Wilson 1927), which holds for small n and at 0 and 1."""
    if n == 0:
        return missing(0, "no samples")
    low, high = intervals.wilson(hits, n, level)
    return Estimate(hits / n, low, high, n)


def percentile(value: float, resampled: Array, n: int, level: float = 0.95, note: str = "") -> Estimate:
    """The percentile bootstrap interval around a value."""
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), n, note)


def recentred(value: float, resampled: Array, n: int, level: float = 0.95) -> Estimate:
    """Bootstrap interval moved so that the resampled mean sits on the value.

    For statistics that repeats in a resample push in one direction (a Frechet distance up, a diversity down).
    """
    return percentile(value, resampled - np.nanmean(resampled) + value, n, level)


def bootstrap_weights(n: int, resamples: int, rng: np.random.Generator) -> Array:
    """How often each of n units is drawn in each resample, [resamples, n]."""
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def bootstrap_mean(values: Array, *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Mean of independent values with a percentile bootstrap interval."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return missing(len(values), "fewer than two samples")
    weights = bootstrap_weights(len(values), resamples, np.random.default_rng(seed))
    return percentile(float(values.mean()), weights @ values / len(values), len(values))


def bootstrap_of(
    statistic: Callable[..., float], *columns: NDArray[Any], resamples: int = 500, seed: int = 0
) -> Estimate:
    """A statistic of paired columns of equal length, with a percentile bootstrap interval over rows."""
    n, rng = len(columns[0]), np.random.default_rng(seed)
    value = statistic(*columns)
    draws = (rng.integers(0, n, n) for _ in range(resamples))
    return percentile(value, np.array([statistic(*(c[rows] for c in columns)) for rows in draws]), n)
