"""Decision thresholds fixed on validation predictions, never on the test set."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from evalsuite.stats import clusters as clustering

#: Thresholds that stand for all that other validation rows might have given.
PLAUSIBLE = 99


def at_specificity(scores: NDArray[np.floating], positive: NDArray[np.bool_], specificity: float) -> float:
    """The lowest threshold t (call positive where score >= t) that keeps the specificity; NaN without negatives."""
    negatives = np.sort(scores[~positive])
    if not len(negatives):
        return math.nan
    kept = max(math.ceil(specificity * len(negatives) - 1e-9), 1)
    return float(np.nextafter(negatives[kept - 1], math.inf))


def at_sensitivity(scores: NDArray[np.floating], positive: NDArray[np.bool_], sensitivity: float) -> float:
    """The highest threshold t (call positive where score >= t) that keeps the sensitivity; NaN without positives."""
    return -at_specificity(-scores, ~positive, sensitivity)


def plausible_at_sensitivity(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    sensitivity: float,
    clusters: NDArray[np.int64] | None = None,
) -> NDArray[np.floating]:
    """As `plausible`, of the threshold that keeps a sensitivity."""
    return -plausible(-scores, ~positive, sensitivity, clusters)


def plausible(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    specificity: float,
    clusters: NDArray[np.int64] | None = None,
) -> NDArray[np.floating]:
    """Thresholds that other validation rows of the same number might have given, [PLAUSIBLE]; NaN without negatives.

    The threshold is an order statistic, so the share of negatives below it follows a beta distribution. These are its
    quantiles in equal steps: an average over them is an average over the validation set.
    """
    negatives = np.sort(scores[~positive])
    if not len(negatives):
        return np.full(PLAUSIBLE, math.nan)
    above = (scores[~positive] >= at_specificity(scores, positive, specificity)).astype(np.float64)
    n = len(negatives) / clustering.design(above, None if clusters is None else clusters[~positive]).effect
    kept = max(math.ceil(specificity * n - 1e-9), 1)
    middle = (np.arange(PLAUSIBLE) + 0.5) / PLAUSIBLE
    share = beta.ppf(middle, kept, max(n + 1 - kept, 0.5))
    place = np.clip(np.round(share * (len(negatives) + 1)).astype(np.int64) - 1, 0, len(negatives) - 1)
    return np.asarray(np.nextafter(negatives[place], math.inf))
