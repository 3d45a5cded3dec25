"""Frechet distance between two sets of features (Heusel 2017; DINOv2 features: Stein 2023).

The result is called FID only with the Inception FID weights; with other features it is FD[extractor].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evalsuite.stats.estimate import Estimate, from_resamples, missing
from evalsuite.stats.resampling import Array, Families, bootstrap_rows, family_units


@dataclass(frozen=True)
class Moments:
    """Mean [d] and unbiased covariance [d, d] of features, float64."""

    mean: Array
    covariance: Array


def moments(features: Array) -> Moments:
    """Of features [n, d]."""
    mean = features.mean(0, dtype=np.float64)
    centred = features - mean
    return Moments(mean, centred.T @ centred / max(len(features) - 1, 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    The last trace is computed from the eigenvalues of the symmetric S_a^(1/2) S_b S_a^(1/2): they equal those of
    S_a S_b, and are real.
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
    value = frechet_distance(moments(real), moments(synthetic))
    rngs = np.random.default_rng(seed).spawn(2)
    drawn = (
        bootstrap_rows(rng, family_units(family, len(side)), resamples)
        for side, rng, family in zip((real, synthetic), rngs, families, strict=True)
    )
    resampled = [frechet_distance(moments(real[a]), moments(synthetic[b])) for a, b in zip(*drawn, strict=True)]
    return from_resamples(value, np.array(resampled), n, recentre=True)
