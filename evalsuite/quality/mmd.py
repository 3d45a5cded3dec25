"""Squared maximum mean discrepancy (Gretton 2012), its bootstrap comparing no sample with itself."""

from __future__ import annotations

import numpy as np

from evalsuite.quality.estimate import Array, Estimate, bootstrap_weights, missing, percentile


def mmd2(xx: Array, yy: Array, xy: Array) -> float:
    """Unbiased estimate from kernel matrices [n, n], [m, m] and [n, m]."""
    n, m = xy.shape
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def mmd2_interval(
    value: float, xx: Array, yy: Array, xy: Array, *, scale: float = 1.0, resamples: int = 300, seed: int = 0
) -> Estimate:
    """A percentile bootstrap interval for `scale` times the unbiased estimate.

    Resampling is by weights with the diagonal left out, so that a sample drawn twice is not its own
    neighbour: plain resampling would bias the estimate up.
    """
    n, m = xy.shape
    if min(n, m) < 2:
        return missing(min(n, m), "fewer than two samples on a side")
    rng = np.random.default_rng(seed)
    u, v = bootstrap_weights(n, resamples, rng), bootstrap_weights(m, resamples, rng)
    within = _within(xx, u) + _within(yy, v)
    across = ((u @ xy) * v).sum(1) / (u.sum(1) * v.sum(1))
    return percentile(value, scale * (within - 2 * across), min(n, m))


def _within(kernel: Array, weights: Array) -> Array:
    off = kernel - np.diag(np.diag(kernel))
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    return np.asarray(((weights @ off) * weights).sum(1) / pairs)
