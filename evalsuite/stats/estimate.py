"""A number with its interval; NaN means "not enough data"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.stats import intervals

Array = NDArray[np.floating]
#: What belongs together, one name or code a row: images of a patient, or all that was made from one photograph.
Family = NDArray[Any] | None
Families = tuple[Family, Family]  # of the real and of the synthetic images


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


def share(hits: NDArray[np.bool_], family: Family = None, level: float = 0.95) -> Estimate:
    """The share of hits with Wilson's interval; rows of one family count for as much as they vary apart.

    Five images made from one photograph fail or pass together, so as five they would make the interval too narrow:
    it has the variance between families and Student's quantile (docs/intervals.md).
    """
    n, codes = len(hits), codes_of(family, len(hits))
    m = int(codes.max()) + 1 if n else 0
    if m == n:
        return wilson(int(hits.sum()), n, level)
    value = float(hits.mean())
    variance = value * (1 - value) / n * intervals.design_effect(hits.astype(np.float64), codes)
    low, high = intervals.score_interval(value, variance, m, m - 1, level)
    return Estimate(value, low, high, n)


def codes_of(family: Family, n: int) -> NDArray[np.intp]:
    """Families as codes from 0, [n]; without any, each row is its own."""
    if family is None:
        return np.arange(n)
    return np.unique(np.asarray(family, dtype=str), return_inverse=True)[1]


def of_rows(family: Family, rows: NDArray[Any]) -> Family:
    """The families of some rows."""
    return None if family is None else family[rows]


def percentile(value: float, resampled: Array, n: int, level: float = 0.95, note: str = "") -> Estimate:
    """The percentile bootstrap interval around a value."""
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), n, note)


def recentred(value: float, resampled: Array, n: int, level: float = 0.95) -> Estimate:
    """Bootstrap interval moved so that the resampled mean sits on the value.

    For statistics that repeats in a resample push in one direction (a Frechet distance up, a diversity down).
    """
    return percentile(value, resampled - np.nanmean(resampled) + value, n, level)


def bootstrap_weights(n: int, resamples: int, rng: np.random.Generator, family: Family = None) -> Array:
    """How often each of n rows is drawn in each resample, [resamples, n]; families are drawn whole."""
    codes = codes_of(family, n)
    m = int(codes.max()) + 1
    return rng.multinomial(m, np.full(m, 1 / m), size=resamples).astype(np.float64)[:, codes]


def bootstrap_rows(
    n: int, resamples: int, rng: np.random.Generator, family: Family = None
) -> Iterator[NDArray[np.intp]]:
    """The rows of each resample; families are drawn whole, so with families their number varies around n."""
    codes = codes_of(family, n)
    sizes = np.bincount(codes)
    if len(sizes) == n:
        yield from (rng.integers(0, n, n) for _ in range(resamples))
        return
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1])
    for _ in range(resamples):
        yield np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])


def bootstrap_mean(values: Array, *, resamples: int = 1000, seed: int = 0, family: Family = None) -> Estimate:
    """Mean with a percentile bootstrap interval over values, or over whole families of them."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return missing(len(values), "fewer than two samples")
    weights = bootstrap_weights(len(values), resamples, np.random.default_rng(seed), family)
    return percentile(float(values.mean()), weights @ values / weights.sum(1), len(values))


def bootstrap_of(
    statistic: Callable[..., float], *columns: NDArray[Any], resamples: int = 500, seed: int = 0, family: Family = None
) -> Estimate:
    """A statistic of paired columns of equal length, with a percentile bootstrap interval over rows or families."""
    n, rng = len(columns[0]), np.random.default_rng(seed)
    drawn = bootstrap_rows(n, resamples, rng, family)
    return percentile(statistic(*columns), np.array([statistic(*(c[rows] for c in columns)) for rows in drawn]), n)
