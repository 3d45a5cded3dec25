"""Frechet distance between two sets of features (Heusel 2017; DINOv2 features: Stein 2023).

The result is called FID only with the Inception FID weights; with other features it is FD[extractor].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evalsuite.stats.estimate import Estimate, from_resamples, missing
from evalsuite.stats.resampling import Array, Families, bootstrap_rows, family_units


@dataclass(frozen=True)
class Moments:
    """Mean [d] and unbiased covariance [d, d] of n features, float64."""

    n: int
    mean: Array
    covariance: Array


def moments(batches: Iterable[Array]) -> Moments:
    """Mean and covariance in one pass over batches [n, d], memory d x d (Chan 1983)."""
    n, mean, scatter = 0, np.zeros(0), np.zeros((0, 0))
    for batch in batches:
        batch = np.asarray(batch, dtype=np.float64)
        if n == 0:
            mean, scatter = np.zeros(batch.shape[1]), np.zeros((batch.shape[1], batch.shape[1]))
        centre = batch.mean(0)
        centred, shift, m = batch - centre, centre - mean, len(batch)
        scatter += centred.T @ centred + np.outer(shift, shift) * (n * m / (n + m))
        mean, n = mean + shift * (m / (n + m)), n + m
    return Moments(n, mean, scatter / max(n - 1, 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    The last trace comes from the eigenvalues of the symmetric S_a^(1/2) S_b S_a^(1/2), which are those of
    S_a S_b: no complex parts to drop.
    """
    shift = a.mean - b.mean
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b.covariance @ root), 0)).sum()
    return float(shift @ shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross)


def fid(
    real: Array, synthetic: Array, *, resamples: int = 100, seed: int = 0, families: Families = (None, None)
) -> Estimate:
    """Frechet distance of features [n, d] and [m, d], with a recentred bootstrap interval over both sets.

    Missing when a side has too few samples for a covariance of full rank (n <= d).
    """
    n, d = min(len(real), len(synthetic)), real.shape[1]
    if n <= d:
        return missing(n, f"covariance is rank-deficient: {n} samples, {d} features")
    value = frechet_distance(moments([real]), moments([synthetic]))
    rngs = np.random.default_rng(seed).spawn(2)
    drawn = (
        bootstrap_rows(rng, family_units(family, len(side)), resamples)
        for side, rng, family in zip((real, synthetic), rngs, families, strict=True)
    )
    resampled = [frechet_distance(moments([real[a]]), moments([synthetic[b]])) for a, b in zip(*drawn, strict=True)]
    if not resamples:
        return Estimate(value, np.nan, np.nan, n)
    return from_resamples(value, np.array(resampled), n, recentre=True)
