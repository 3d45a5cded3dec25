"""Squared maximum mean discrepancy (Gretton 2012), its bootstrap comparing no sample with itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evalsuite.stats.estimate import Estimate, from_resamples, missing
from evalsuite.stats.resampling import Array, Families, bootstrap_weights, codes_of, family_units


def mmd2(xx: Array, yy: Array, xy: Array) -> float:
    """Unbiased estimate from kernel matrices [n, n], [m, m] and [n, m]."""
    n, m = xy.shape
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def mmd2_interval(
    value: float,
    xx: Array,
    yy: Array,
    xy: Array,
    *,
    scale: float = 1.0,
    resamples: int = 300,
    seed: int = 0,
    families: Families = (None, None),
) -> Estimate:
    """A percentile bootstrap interval for `scale` times the unbiased estimate.

    Resampling is by weights with the pairs within a family left out (of single images: the diagonal), so that a
    sample drawn twice is not its own neighbour: plain resampling would bias the estimate up. The interval is moved
    by what those pairs bring to the estimate.
    """
    n, m = xy.shape
    if min(n, m) < 2:
        return missing(min(n, m), "fewer than two samples on a side")
    codes = codes_of(families[0], n), codes_of(families[1], m)
    if min(len(set(c)) for c in codes) < 2:
        return replace(missing(min(n, m), "one family: no interval"), value=value)
    rng = np.random.default_rng(seed)
    xx, yy = (np.where(c[:, None] == c[None], 0, kernel) for kernel, c in zip((xx, yy), codes, strict=True))

    def estimates(u: Array, v: Array) -> Array:
        across = ((u @ xy) * v).sum(1) / (u.sum(1) * v.sum(1))
        return np.asarray(scale * (_within(xx, u, codes[0]) + _within(yy, v, codes[1]) - 2 * across))

    weights = [bootstrap_weights(rng, family_units(c, len(c)), resamples).T for c in codes]
    drawn = estimates(*weights)
    apart = float(estimates(np.ones((1, n)), np.ones((1, m)))[0])
    grouped = any(len(set(c)) < len(c) for c in codes)
    return from_resamples(value, drawn + (value - apart if grouped else 0.0), min(n, m))


def _within(kernel: Array, weights: Array, codes: NDArray[np.intp]) -> Array:
    """Weighted mean over the pairs of different families, whose kernel alone is not 0."""
    of_family = np.stack([np.bincount(codes, row) for row in weights])
    pairs = weights.sum(1) ** 2 - (of_family**2).sum(1)
    total = ((weights @ kernel) * weights).sum(1)
    return np.divide(total, pairs, out=np.full(len(total), np.nan), where=pairs > 0)  # a draw of one family: none
