"""Vendi score: the effective number of distinct images in a set (Friedman & Dieng 2023)."""

from __future__ import annotations

import numpy as np

from evalsuite.images.features.nearest import unit_rows
from evalsuite.stats.estimate import Estimate, from_resamples, missing
from evalsuite.stats.resampling import Array, Family, bootstrap_rows, family_units


def vendi_score(features: Array) -> float:
    """exp of the entropy of the cosine kernel's eigenvalues / n, for features [n, d]; from 1 to n."""
    unit = unit_rows(features)
    gram = unit.T @ unit if unit.shape[1] < len(unit) else unit @ unit.T  # the same non-zero eigenvalues
    values = np.linalg.eigvalsh(gram / len(unit))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def vendi(features: Array, *, resamples: int = 100, seed: int = 0, family: Family = None) -> Estimate:
    """The score with a recentred bootstrap interval. It grows with n: compare sets of equal size only."""
    n, rng = len(features), np.random.default_rng(seed)
    if n < 2:
        return missing(n, "fewer than two samples")
    drawn = bootstrap_rows(rng, family_units(family, n), resamples)
    resampled = np.array([vendi_score(features[rows]) for rows in drawn])
    return from_resamples(vendi_score(features), resampled, n, recentre=True)
