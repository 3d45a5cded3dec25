"""The closed-form interval of a proportion, of clustered rows too, and the size it needs."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm


@cache
def z_of(confidence: float) -> float:
    """The two-sided normal quantile of a confidence level."""
    return float(norm.ppf(0.5 + confidence / 2))


def wilson(successes: float, n: float, confidence: float = 0.95, deff: float = 1.0) -> tuple[float, float]:
    """Wilson (1927) score interval of a proportion; NaN where n is 0.

    Parameters
    ----------
    deff
        Design effect of clustered rows (`design_effect`): counts shrink to n / deff, as Korn & Graubard 1998 do.
    """
    if n <= 0:
        return math.nan, math.nan
    z, p, size = z_of(confidence), successes / n, n / max(deff, 1.0)
    centre = (p + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(p * (1 - p) / size + z * z / (4 * size * size))
    # at p = 0 and 1 the bound is p itself; rounding must not move it past
    return min(max(0.0, centre - half), p), max(min(1.0, centre + half), p)


def design_effect(hits: NDArray[np.floating], clusters: NDArray[np.int64] | None) -> float:
    """Variance of a mean under clustering over its variance under independence, at least 1.

    Parameters
    ----------
    hits
        0 or 1, float [n].
    clusters
        Cluster code of each row, int [n]; None for independent rows.
    """
    n = len(hits)
    if clusters is None or n < 2:
        return 1.0
    p = float(hits.mean())
    _, codes = np.unique(clusters, return_inverse=True)
    m = int(codes.max()) + 1
    if m == n:
        return 1.0
    if m < 2 or p in (0.0, 1.0):  # nothing to learn the correlation from: one cluster counts as one row
        return n / m
    sums = np.bincount(codes, weights=hits - p, minlength=m)
    clustered = m / (m - 1) * float(sums @ sums) / n**2
    return max(1.0, clustered / (p * (1 - p) / n))


def n_for_half_width(p: float, half_width: float = 0.1, confidence: float = 0.95) -> int:
    """Rows after which the Wilson interval of a proportion p is no wider than +- half_width."""
    if not math.isfinite(p):
        p = 0.5
    low, high = 1, 10_000_000
    while low < high:
        middle = (low + high) // 2
        bounds = wilson(p * middle, middle, confidence)
        low, high = (low, middle) if bounds[1] - bounds[0] <= 2 * half_width else (middle + 1, high)
    return low
