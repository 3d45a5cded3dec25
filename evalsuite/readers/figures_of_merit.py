"""How well one reader reads in one modality: AUROC, sensitivity, specificity, and the same with cases left out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from evalsuite.readers.choices import Metric
from evalsuite.stats import delong

Array = NDArray[np.floating]


def figure(ratings: Array, positive: NDArray[np.bool_], metric: Metric, threshold: float) -> float:
    """The figure of merit of ratings, [n]; NaN where the cases that it needs are missing."""
    return influence(ratings, positive, metric, threshold)[0]


def influence(
    ratings: Array, positive: NDArray[np.bool_], metric: Metric, threshold: float
) -> tuple[float, NDArray[np.floating]]:
    """The figure of merit, and each case's influence on it, [n]: their squares sum to its variance.

    For an AUROC that is the variance of DeLong et al. 1988, for a share the sample variance over its number of cases.
    """
    if metric is Metric.auroc:
        return delong.influence(ratings, positive)
    hits, used = _hits(ratings, positive, metric, threshold)
    m, values = int(used.sum()), np.zeros(len(ratings))
    if m == 0:
        return math.nan, np.full(len(ratings), math.nan)
    value = float(hits[used].mean())
    values[used] = (hits[used] - value) / math.sqrt(m * max(m - 1, 1))
    return value, values


def left_out(
    ratings: Array, positive: NDArray[np.bool_], units: NDArray[np.int64], metric: Metric, threshold: float
) -> NDArray[np.floating]:
    """The figure of merit without each unit (a case, or all cases of a patient), [units]; units are codes from 0.

    NaN where no case of one side is left.
    """
    if metric is not Metric.auroc:
        hits, used = _hits(ratings, positive, metric, threshold)
        total, count = (np.bincount(units, weights=w) for w in (hits * used, used.astype(float)))
        return _ratio(total.sum() - total, count.sum() - count)
    won = wins(ratings, positive)
    m, n = (np.bincount(units, weights=side.astype(float)) for side in (positive, ~positive))
    without = won[positive].sum() - np.bincount(units, weights=won)
    # a unit's own pairs were taken away twice; ranked by unit first, all negatives of lower units lie below
    by_unit = wins(units * (len(ratings) + 1.0) + rankdata(ratings), positive)[positive]
    lower = np.cumsum(n) - n
    without += np.bincount(units[positive], by_unit - lower[units[positive]], len(n))
    return _ratio(without, (m.sum() - m) * (n.sum() - n))


def wins(ratings: Array, positive: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Of each positive case the negative ones rated below it, of each negative the positive ones above; ties a half."""
    ranks, own = rankdata(ratings), np.empty(len(ratings))
    own[positive], own[~positive] = rankdata(ratings[positive]), rankdata(ratings[~positive])
    below = ranks - own
    return np.asarray(np.where(positive, below, positive.sum() - below))


def _hits(
    ratings: Array, positive: NDArray[np.bool_], metric: Metric, threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which cases are called rightly, and which of them the metric counts."""
    called = ratings >= threshold
    return (called, positive) if metric is Metric.sensitivity else (~called, ~positive)


def _ratio(top: NDArray[np.floating], bottom: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), math.nan), where=bottom > 0))
