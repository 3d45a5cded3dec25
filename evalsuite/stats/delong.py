"""AUROC and its variance after DeLong, DeLong & Clarke-Pearson 1988 (fast ranks: Sun & Xu 2014).

Everything goes through one value per row, its *influence*: the variance of an AUROC is the sum of squared
influences, that of a mean or difference of AUROCs is the sum of squares of their mean or difference, and clustered
rows (Obuchowski 1997) are summed within the cluster before squaring.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from evalsuite.stats.intervals import z_of


def influence(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> tuple[float, NDArray[np.floating]]:
    """AUROC and the influence of each row, [n]; NaN where a side is empty.

    The squares sum to DeLong's variance S10/m + S01/n exactly; a side of one row adds nothing.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return math.nan, np.full(len(scores), math.nan)
    ranks = rankdata(scores)
    own = np.empty(len(scores))
    own[positive], own[~positive] = rankdata(scores[positive]), rankdata(scores[~positive])
    placement = ranks - own  # rows of the other side below, ties as halves
    area = float(placement[positive].sum()) / (m * n)
    values = np.zeros(len(scores))
    values[positive] = (placement[positive] / n - area) / math.sqrt(m * max(m - 1, 1))
    values[~positive] = (1 - placement[~positive] / m - area) / math.sqrt(n * max(n - 1, 1))
    return area, values


def variance(influences: NDArray[np.floating], clusters: NDArray[np.int64] | None = None) -> float:
    """Variance of an estimate from its influences; clusters are summed first (Obuchowski 1997)."""
    if clusters is None:
        return float(influences @ influences)
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.bincount(codes, weights=influences)
    m = len(sums)
    correction = 1.0 if m == len(influences) else m / max(m - 1, 1)
    return float(sums @ sums) * correction


def interval(
    area: float, var: float, n_positive: int, n_negative: int, confidence: float = 0.95, scale: str = "logit"
) -> tuple[float, float]:
    """Interval of an AUROC from DeLong's variance.

    Parameters
    ----------
    scale
        `logit` (stays within 0 and 1 and keeps its coverage in small samples) or `linear` (the textbook's).

    Where the variance is 0 (a perfect separation says nothing of its own error) Newcombe's bound stands in.
    """
    if not math.isfinite(area):
        return math.nan, math.nan
    if var <= 0 or area <= 0 or area >= 1:
        return newcombe_bounds(area, n_positive, n_negative, confidence)
    z, error = z_of(confidence), math.sqrt(var)
    if scale == "linear":
        return max(0.0, area - z * error), min(1.0, area + z * error)
    centre, spread = math.log(area / (1 - area)), z * error / (area * (1 - area))
    return 1 / (1 + math.exp(-centre + spread)), 1 / (1 + math.exp(-centre - spread))


def newcombe_bounds(area: float, m: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score-type interval of an AUROC from the sizes alone (Newcombe 2006, method 5)."""
    if not math.isfinite(area) or m == 0 or n == 0:
        return math.nan, math.nan
    grid = np.linspace(1e-6, 1 - 1e-6, 20_001)
    star = (m + n) / 2 - 1
    var = grid * (1 - grid) * (1 + star * (1 - grid) / (2 - grid) + star * grid / (1 + grid)) / (m * n)
    inside = grid[np.abs(area - grid) <= z_of(confidence) * np.sqrt(var)]
    if not len(inside):
        return area, area
    return min(float(inside[0]), area), max(float(inside[-1]), area)


def paired_test(
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    positive: NDArray[np.bool_],
    clusters: NDArray[np.int64] | None = None,
) -> tuple[float, float, float]:
    """DeLong's test of two correlated AUROCs: (difference a - b, z, two-sided p)."""
    area_a, inf_a = influence(a, positive)
    area_b, inf_b = influence(b, positive)
    difference, var = area_a - area_b, variance(inf_a - inf_b, clusters)
    if not math.isfinite(difference):
        return math.nan, math.nan, math.nan
    if var == 0:
        return difference, 0.0 if difference == 0 else math.copysign(math.inf, difference), float(difference == 0)
    z = difference / math.sqrt(var)
    return difference, z, float(2 * norm.sf(abs(z)))
