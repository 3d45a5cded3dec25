"""Decision thresholds fixed on validation predictions, never on the test set."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def at_specificity(scores: NDArray[np.floating], positive: NDArray[np.bool_], specificity: float) -> float:
    """The lowest threshold t (call positive where score >= t) that keeps the specificity; NaN without negatives."""
    negatives = np.sort(scores[~positive])
    if not len(negatives):
        return math.nan
    kept = max(math.ceil(specificity * len(negatives) - 1e-9), 1)
    return float(np.nextafter(negatives[kept - 1], math.inf))


def by_class(
    probs: NDArray[np.floating], labels: NDArray[np.int64], specificity: float, least_negatives: int
) -> NDArray[np.floating]:
    """Threshold of each class one-vs-rest, [k]; NaN where fewer than `least_negatives` rows could fix it."""
    out = np.full(probs.shape[1], math.nan)
    for index in range(probs.shape[1]):
        positive = labels == index
        if (~positive).sum() >= least_negatives:
            out[index] = at_specificity(probs[:, index], positive, specificity)
    return out
