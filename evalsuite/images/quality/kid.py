"""Kernel inception distance: unbiased at any n, so the first to read where samples are few (Binkowski 2018).

The result is called KID only with the Inception FID weights; with other features it is KD[extractor].
"""

from __future__ import annotations

import numpy as np

from evalsuite.images.quality.mmd import Kernels, mmd2, mmd2_estimate
from evalsuite.stats.estimate import Estimate, missing
from evalsuite.stats.resampling import Array, Families, of_rows

SUBSETS = 100


def polynomial_kernel(x: Array, y: Array) -> Array:
    """(x . y / d + 1)^3 for features [n, d] and [m, d]."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def kernels(x: Array, y: Array) -> Kernels:
    return Kernels(polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y))


def kid(
    real: Array,
    synthetic: Array,
    *,
    subset_size: int = 1000,
    seed: int = 2020,
    resamples: int = 300,
    families: Families = (None, None),
) -> Estimate:
    """Squared MMD with the cubic kernel and a bootstrap interval over images, or over whole families of them.

    Up to `subset_size` samples a side all pairs are used. Beyond that the value is the mean over `SUBSETS` seeded
    subsets, as torch-fidelity draws them, and the interval is that of one subset: wider than the mean needs.
    """
    n = min(len(real), len(synthetic))
    if n < 2:
        return missing(n, "fewer than two samples on a side")
    x, y = np.asarray(real, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    if n <= subset_size:
        return mmd2_estimate(kernels(x, y), resamples=resamples, seed=seed, families=families)
    rng = np.random.default_rng(seed)
    rows = [rng.choice(len(side), subset_size, replace=False) for side in (x, y)]
    known = of_rows(families[0], rows[0]), of_rows(families[1], rows[1])
    one = mmd2_estimate(kernels(x[rows[0]], y[rows[1]]), resamples=resamples, seed=seed, families=known)
    value = kid_over_subsets(x, y, subset_size, SUBSETS, seed)
    return Estimate(value, one.low + value - one.value, one.high + value - one.value, n)


def kid_over_subsets(real: Array, synthetic: Array, subset_size: int, subsets: int, seed: int) -> float:
    """Mean over random subsets of equal size (torch-fidelity's estimate, with its order of draws)."""
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        x = real[rng.choice(len(real), subset_size, replace=False)]
        y = synthetic[rng.choice(len(synthetic), subset_size, replace=False)]
        values.append(mmd2(kernels(x, y)))
    return float(np.mean(values))
