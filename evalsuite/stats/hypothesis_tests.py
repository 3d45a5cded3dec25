"""Tests of paired and permuted values, the correction for many of them, and the difference that a test can find."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm


def holm(p: NDArray[np.floating]) -> NDArray[np.floating]:
    """Holm's step-down adjusted p values (controls any false claim in the family); NaN stays NaN."""
    out = np.full(len(p), math.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    steps = len(order) - np.arange(len(order))
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * steps))
    return out


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p that two models are right equally often, from the rows where just one is right."""
    n = only_a + only_b
    return 1.0 if n == 0 else float(min(1.0, 2 * binom.cdf(min(only_a, only_b), n, 0.5)))


def clustered_mcnemar(difference: NDArray[np.floating], clusters: NDArray[np.int64]) -> float:
    """McNemar's test with the differences (+1, 0, -1) summed within clusters (Durkalski et al. 2003)."""
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.bincount(codes, weights=difference)
    square = float((sums**2).sum())
    return 1.0 if square == 0 else float(2 * norm.sf(abs(float(sums.sum())) / math.sqrt(square)))


def minimum_detectable(error: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The true difference that a two-sided test finds with this power, from the standard error of the difference."""
    return float(norm.ppf(1 - alpha / 2) + norm.ppf(power)) * error


def bootstrap_p(samples: NDArray[np.floating]) -> float:
    """Two-sided p that a difference is 0, from the share of resamples on each side; NaN without samples."""
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return math.nan
    side = min(int((samples <= 0).sum()), int((samples >= 0).sum()))
    return min(1.0, 2 * (side + 1) / (len(samples) + 1))
