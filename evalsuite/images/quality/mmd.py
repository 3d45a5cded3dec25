"""Squared maximum mean discrepancy (Gretton 2012), with a bootstrap that compares no sample with itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalsuite.stats.estimate import Estimate, from_resamples, missing
from evalsuite.stats.resampling import Array, Families, bootstrap_weights, codes_of, family_units


@dataclass(frozen=True)
class Kernels:
    """Kernel matrices within the two sets, [n, n] and [m, m], and between them, [n, m]."""

    xx: Array
    yy: Array
    xy: Array


def mmd2(of: Kernels) -> float:
    """The unbiased estimate."""
    n, m = of.xy.shape
    within = (of.xx.sum() - np.trace(of.xx)) / (n * (n - 1)) + (of.yy.sum() - np.trace(of.yy)) / (m * (m - 1))
    return float(within - 2 * of.xy.mean())


def mmd2_estimate(
    of: Kernels, *, scale: float = 1.0, resamples: int = 300, seed: int = 0, families: Families = (None, None)
) -> Estimate:
    """`scale` times the unbiased estimate, with a percentile bootstrap interval.

    The bootstrap weights pairs and leaves out those within a family (for single images: the diagonal): a sample drawn
    twice must not be its own neighbour, which would bias the estimate up. Where families hold several images, the
    interval is shifted by what the pairs within families add to the estimate.
    """
    n, m = of.xy.shape
    if min(n, m) < 2:
        return missing(min(n, m), "fewer than two samples on a side")
    codes = codes_of(families[0], n), codes_of(families[1], m)
    value = scale * mmd2(of)
    if min(len(set(c)) for c in codes) < 2:
        return replace(missing(min(n, m), "one family: no interval"), value=value)
    rng = np.random.default_rng(seed)
    xx, yy = (np.where(c[:, None] == c[None], 0, kernel) for kernel, c in zip((of.xx, of.yy), codes, strict=True))

    def estimates(u: Array, v: Array) -> Array:
        across = ((u @ of.xy) * v).sum(1) / (u.sum(1) * v.sum(1))
        return np.asarray(scale * (_within(xx, u, codes[0]) + _within(yy, v, codes[1]) - 2 * across))

    weights = [bootstrap_weights(rng, family_units(c, len(c)), resamples).T for c in codes]
    drawn = estimates(*weights)
    apart = float(estimates(np.ones((1, n)), np.ones((1, m)))[0])
    grouped = any(len(set(c)) < len(c) for c in codes)
    return from_resamples(value, drawn + (value - apart if grouped else 0.0), min(n, m))


def _within(kernel: Array, weights: Array, codes: NDArray[np.intp]) -> Array:
    """Weighted mean over the pairs of different families; the kernel of all other pairs is 0."""
    of_family = np.stack([np.bincount(codes, row) for row in weights])
    pairs = weights.sum(1) ** 2 - (of_family**2).sum(1)
    total = ((weights @ kernel) * weights).sum(1)
    out = np.full(len(total), np.nan)  # a resample of one family has no such pair
    np.divide(total, pairs, out=out, where=pairs > 0)
    return out
