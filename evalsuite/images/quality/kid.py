"""Kernel inception distance: unbiased at any n, so it stands in front where samples are few (Binkowski 2018).

The result is called KID only with the Inception FID weights; with other features it is KD[extractor].
"""

from __future__ import annotations

import numpy as np

from evalsuite.images.quality.mmd import mmd2, mmd2_interval
from evalsuite.stats.estimate import Estimate, missing
from evalsuite.stats.resampling import Array, Families, of_rows


def polynomial_kernel(x: Array, y: Array) -> Array:
    """(x . y / d + 1)^3 for features [n, d] and [m, d]."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def kid(
    real: Array,
    synthetic: Array,
    *,
    subset_size: int = 1000,
    subsets: int = 100,
    seed: int = 2020,
    resamples: int = 300,
    families: Families = (None, None),
) -> Estimate:
    """Squared MMD with the cubic kernel and a bootstrap interval over images, or over whole families of them.

    All pairs are used up to `subset_size` samples a side; beyond, the mean over seeded subsets, as
    torch-fidelity draws them, and the interval is that of one subset (wider than the mean deserves).
    """
    n = min(len(real), len(synthetic))
    if n < 2:
        return missing(n, "fewer than two samples on a side")
    x, y = np.asarray(real, dtype=np.float64), np.asarray(synthetic, dtype=np.float64)
    if n > subset_size:
        value = kid_over_subsets(x, y, subset_size, subsets, seed)
        rng = np.random.default_rng(seed)
        rows = [rng.choice(len(side), subset_size, replace=False) for side in (x, y)]
        x, y = x[rows[0]], y[rows[1]]
        a, b = of_rows(families[0], rows[0]), of_rows(families[1], rows[1])
        kernels = polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y)
        around = mmd2_interval(mmd2(*kernels), *kernels, resamples=resamples, seed=seed, families=(a, b))
        shift = value - around.value
        return Estimate(value, around.low + shift, around.high + shift, n)
    kernels = polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y)
    return mmd2_interval(mmd2(*kernels), *kernels, resamples=resamples, seed=seed, families=families)


def kid_over_subsets(real: Array, synthetic: Array, subset_size: int, subsets: int, seed: int) -> float:
    """Mean over random subsets of equal size (torch-fidelity's estimate, with its order of draws)."""
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        x = real[rng.choice(len(real), subset_size, replace=False)]
        y = synthetic[rng.choice(len(synthetic), subset_size, replace=False)]
        values.append(mmd2(polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y)))
    return float(np.mean(values))
