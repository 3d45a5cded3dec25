"""Prediction-powered inference: a mean from few real labels and many cheap stand-ins, debiased by the real ones.

Every real row has its truth (the classifier was right, or not) and a stand-in for it (it was right on the synthetic
images made from that row). Many other rows have the stand-in alone. The mean of those is corrected by what truth and
stand-in differ by on the real rows, and weighted so that a poor stand-in costs nothing: PPI++ (Angelopoulos, Duchi &
Zrnic, arXiv 2311.01453) as Boyeau et al. use it to evaluate classifiers (arXiv 2403.07008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from evalsuite.stats import intervals
from evalsuite.stats.estimate import Estimate, missing, share
from evalsuite.stats.resampling import codes_of

Array = NDArray[np.floating]
DUST = 1e-20  # a variance of what rounding left


@dataclass(frozen=True)
class Powered:
    """A mean with and without the stand-ins.

    Attributes
    ----------
    estimate
        With them: debiased by the real rows.
    real_only
        The real rows alone.
    weight
        Of the stand-ins, 0 to 1: 0 where they say nothing of the truth.
    worth
        Real rows that would give the same error.
    p_mismatch
        That the stand-ins of real and of other rows have one mean. Small: they are of different images, and the
        estimate is biased.
    """

    estimate: Estimate
    real_only: Estimate
    weight: float
    worth: float
    others: int
    p_mismatch: float


def powered_share(
    truth: NDArray[np.bool_],
    standin: Array,
    others: Array,
    *,
    family: NDArray[np.int64] | None = None,
    other_family: NDArray[np.int64] | None = None,
    confidence: float = 0.95,
) -> Powered:
    """A share of real rows, such as an accuracy or a sensitivity.

    Parameters
    ----------
    truth
        Whether the classifier was right, bool [n].
    standin
        0 to 1, of the same rows, [n].
    others
        0 to 1, of rows without a truth, [N].
    family, other_family
        Patient of each row; None where each stands alone.
    """
    n, hits = len(truth), truth.astype(np.float64)
    alone = share(truth, family, confidence)
    here, there = codes_of(family, n), codes_of(other_family, len(others))
    m, k = (int(codes.max()) + 1 if len(codes) else 0 for codes in (here, there))
    if m < 2 or k < 2:
        few = "real" if m < 2 else "synthetic"
        return Powered(missing(n, f"fewer than two {few} images"), alone, 0.0, float(n), len(others), math.nan)
    of_standin, of_both = _covariance(standin, standin, here), _covariance(hits, standin, here)
    of_others = _covariance(others, others, there)
    spread = of_standin + of_others
    weight = min(max(of_both / spread, 0.0), 1.0) if spread > DUST else 0.0
    value = float(weight * others.mean() + (hits - weight * standin).mean())
    own = _covariance(hits - weight * standin, hits - weight * standin, here)
    variance = own + weight**2 * of_others
    low, high = intervals.score_interval(min(max(value, 0.0), 1.0), variance, m, intervals.student(m - 1), confidence)
    moved = (float(standin.mean()) - float(others.mean())) / math.sqrt(spread) if spread > DUST else 0.0
    plain = _covariance(hits, hits, here)
    return Powered(
        Estimate(min(max(value, 0.0), 1.0), low, high, n, method="prediction-powered"),
        alone,
        weight,
        n * plain / variance if variance > DUST else float(n),
        len(others),
        float(2 * norm.sf(abs(moved))),
    )


def _covariance(a: Array, b: Array, codes: NDArray[np.int64]) -> float:
    """Covariance of two means of the same rows; rows of one family are summed first."""
    m = int(codes.max()) + 1
    sums = [np.bincount(codes, weights=v - v.mean(), minlength=m) for v in (a, b)]
    return m / (m - 1) * float(sums[0] @ sums[1]) / len(a) ** 2
