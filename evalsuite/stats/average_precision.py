"""Average precision and its variance by the jackknife, one value per row as in `delong`.

A bootstrap draws rows twice, which makes ties that the scores do not have: with 50 positives of 100 it gives 0.9 of
the variance, the jackknife 1.02 (docs/validation.md). The closed form costs one sort.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def influence(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> tuple[float, NDArray[np.floating]]:
    """Average precision (ties as scikit-learn treats them) and the influence of each row, [n]; NaN without positives.

    The squares sum to the variance of the delete-one jackknife, positives and negatives apart (Arvesen 1969 for two
    samples). A side of one row adds nothing.
    """
    m, negatives = int(positive.sum()), int((~positive).sum())
    if m == 0:
        return math.nan, np.full(len(scores), math.nan)
    order = np.argsort(-scores, kind="stable")
    hit, descending = positive[order], -scores[order]
    first = np.searchsorted(descending, descending, side="left")
    rows = np.searchsorted(descending, descending, side="right")  # at or above each row
    true = np.cumsum(hit)[rows - 1]
    precision = hit * true / rows
    value = float(precision.sum()) / m
    # what the precision at a positive loses or gains when a row at or above it is removed
    step = hit / (rows * np.maximum(rows - 1, 1))
    loss, gain = step * (rows - true), step * true
    without = np.where(
        hit, (m * value - precision - _from(loss, first) + loss) / max(m - 1, 1), value + _from(gain, first) / m
    )
    values = np.zeros(len(scores))
    for side, count in ((hit, m), (~hit, negatives)):
        if count > 1:
            rest = without[side]
            values[order[side]] = (rest.mean() - rest) * math.sqrt((count - 1) / count)
    return value, values


def _from(values: NDArray[np.floating], first: NDArray[np.int64]) -> NDArray[np.floating]:
    """Sums from each position to the end."""
    return np.cumsum(values[::-1])[::-1][first]


def degrees(influences: NDArray[np.floating], clusters: NDArray[np.int64] | None = None) -> float:
    """Degrees of freedom of a sum of squared influences: few where few rows make up most of it (Satterthwaite 1946).

    At least 6: near a perfect ranking two misplaced rows may make up all of it, which would give 2 degrees and an
    interval from 0 to 1.
    """
    parts = influences if clusters is None else np.bincount(np.unique(clusters, return_inverse=True)[1], influences)
    squares = parts**2
    total = float(squares.sum())
    spread = float(squares @ squares) - total**2 / len(squares)
    return max(6.0, 2 * total**2 / spread) if spread > 1e-9 * total**2 and total > 0 else math.inf
