"""AUROC and its variance after DeLong, DeLong & Clarke-Pearson 1988 (fast ranks: Sun & Xu 2014).

Each row has one value, its *influence*. The variance of an AUROC is the sum of the squared influences; that of a mean
or difference of AUROCs is the sum of squares of the mean or difference of the influences. The influences of clustered
rows are summed within the cluster before squaring (Obuchowski 1997).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def weighted_influence(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: NDArray[np.floating]
) -> NDArray[np.floating]:
    """The influence of each row on a weighted AUROC, [n]: the weighted share of the other side that it beats."""
    values = np.zeros(len(scores))
    sides = (positive, ~positive, 1.0), (~positive, positive, -1.0)
    for own, other, sign in sides:
        order = np.argsort(scores[other], kind="stable")
        against, sums = scores[other][order], np.r_[0, np.cumsum(weights[other][order])]
        below, level = (np.searchsorted(against, scores[own], side=side) for side in ("left", "right"))
        placement = (sums[below] + sums[level]) / 2 / sums[-1]
        w = weights[own]
        values[own] = sign * w * (placement - w @ placement / w.sum()) / w.sum()
    return values


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
