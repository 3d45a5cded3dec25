"""A number with its interval; NaN means "not enough data"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.stats import clusters, intervals
from evalsuite.stats.intervals import Bounds
from evalsuite.stats.resampling import Array, Family, bootstrap_rows, bootstrap_weights, chunks, codes_of, family_units

NOT_ENOUGH = "not enough data"


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value, low, high
        NaN where undefined.
    n
        Rows it rests on: the denominator of a proportion, the smaller side of an AUROC, the rarest class of a mean
        over classes.
    enough
        Whether `n` reaches the least count. Where it does not, the value is kept but shown as "not enough data", and
        takes no part in worst groups and gaps.
    n_needed
        The `n` that would do: the least count, and for a proportion an interval of the chosen half width. 0: not asked.
    method
        How the interval was made: wilson, delong, price-bonett (means of shares), linearised or jackknife (its variance
        in Wilson's interval), moments (ECE), robust, beta-binomial, mover (PPV, NPV), prediction-powered; "" where it
        is Wilson's of a share or a bootstrap's.
    note
        Why a value is missing.
    bounds
        The interval at any confidence, of the errors that other groups do not share; None where groups are not compared
        by it.
    """

    value: float
    low: float
    high: float
    n: int
    enough: bool = True
    n_needed: int = 0
    method: str = ""
    note: str = ""
    bounds: Bounds | None = field(default=None, repr=False, compare=False)

    @property
    def known(self) -> bool:
        """Whether it is shown: finite, of enough rows."""
        return self.enough and math.isfinite(self.value)

    def text(self, digits: int = 3, style: str = "f") -> str:
        """As shown: `0.812 (0.761 to 0.853)`, or what is missing; style "g" counts significant digits."""
        if not self.known:
            return f"{NOT_ENOUGH} ({self.n} of {self.n_needed})" if self.n < self.n_needed else NOT_ENOUGH
        value, low, high = (f"{v:.{digits}{style}}" for v in (self.value, self.low, self.high))
        return value if math.isnan(self.low) else f"{value} ({low} to {high})"

    def columns(self) -> dict[str, Any]:
        """Value, interval, n and note, for a row of a table."""
        return {name: getattr(self, name) for name in ("value", "low", "high", "n", "note")}


def points(value: float, low: float, high: float) -> tuple[str, str]:
    """A difference of shares and its interval, in points: `+1.2` and `-0.4 to +2.8`."""
    texts = [f"{round(100 * v, 1) + 0.0:+.1f}" for v in (value, low, high)]  # never -0.0
    return texts[0], f"{texts[1]} to {texts[2]}"


def missing(n: int, note: str) -> Estimate:
    """An estimate without a value, and why it has none."""
    return Estimate(math.nan, math.nan, math.nan, n, note=note)


def share(hits: NDArray[np.bool_], family: Family = None, confidence: float = 0.95) -> Estimate:
    """The share of hits with Wilson's interval; rows of one family count for as much as they vary apart.

    Five images made from one photograph fail or pass together, so counting them as five would make the interval too
    narrow. The interval has the variance between families and Student's quantile (docs/validation.md).
    """
    n = len(hits)
    if n == 0:
        return missing(0, "no samples")
    together = clusters.design(hits.astype(np.float64), None if family is None else codes_of(family, n))
    return Estimate(
        float(hits.mean()),
        *intervals.wilson(int(hits.sum()), n, confidence, together.effect, intervals.student(together.degrees)),
        n,
    )


def from_resamples(
    value: float, resampled: Array, n: int, *, recentre: bool = False, confidence: float = 0.95
) -> Estimate:
    """A value with the percentile interval of its bootstrap.

    Parameters
    ----------
    recentre
        Move the resamples so that their mean is the value: for statistics that repeated rows push in one direction
        (a Frechet distance up, a diversity down).
    """
    moved = resampled - np.nanmean(resampled) + value if recentre else resampled
    return Estimate(value, *intervals.percentile(moved, confidence), n)


def bootstrap_mean(values: Array, *, resamples: int = 1000, seed: int = 0, family: Family = None) -> Estimate:
    """Mean with a percentile bootstrap interval over values, or over whole families of them."""
    values, rng = np.asarray(values, dtype=np.float64), np.random.default_rng(seed)
    if len(values) < 2:
        return missing(len(values), "fewer than two samples")
    units = family_units(family, len(values))
    drawn = [bootstrap_weights(rng, units, size) for size in chunks(resamples)]
    means = np.concatenate([values @ weights / weights.sum(axis=0) for weights in drawn])
    return from_resamples(float(values.mean()), means, len(values))


def bootstrap_of(
    statistic: Callable[..., float], *columns: NDArray[Any], resamples: int = 500, seed: int = 0, family: Family = None
) -> Estimate:
    """A statistic of paired columns of equal length, with a percentile bootstrap interval over rows or families."""
    n, rng = len(columns[0]), np.random.default_rng(seed)
    drawn = bootstrap_rows(rng, family_units(family, n), resamples)
    resampled = np.array([statistic(*(c[rows] for c in columns)) for rows in drawn])
    return from_resamples(statistic(*columns), resampled, n)
