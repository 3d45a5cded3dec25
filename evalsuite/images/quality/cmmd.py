"""CMMD: maximum mean discrepancy of CLIP embeddings under a Gaussian kernel (Jayasumana 2024).

The result is called CMMD only with CLIP ViT-L/14 at 336 px; with other features it is MMD[extractor].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalsuite.images.features.nearest import square_distances, unit_rows
from evalsuite.images.quality.mmd import Kernels, mmd2_estimate
from evalsuite.stats.estimate import Estimate, missing
from evalsuite.stats.resampling import Array, Families, of_rows

SIGMA, SCALE = 10.0, 1000.0


def gaussian_kernel(x: Array, y: Array, sigma: float = SIGMA) -> Array:
    """exp(-|x - y|^2 / (2 sigma^2)) for features [n, d] and [m, d]."""
    return np.asarray(np.exp(-np.maximum(square_distances(x, y), 0) / (2 * sigma**2)))


def cmmd(
    real: Array,
    synthetic: Array,
    *,
    max_n: int = 2000,
    seed: int = 0,
    resamples: int = 300,
    families: Families = (None, None),
) -> Estimate:
    """1000 x squared MMD of unit-length features with sigma 10.

    The value is the published minimum-variance (biased) estimate over at most `max_n` samples of each side, drawn with
    the seed. The interval is that of the unbiased estimate, shifted by the difference of the two.
    """
    n = min(len(real), len(synthetic))
    if n < 2:
        return missing(n, "fewer than two samples on a side")
    rng = np.random.default_rng(seed)
    rows = [_some(len(side), max_n, rng) for side in (real, synthetic)]
    x, y = (unit_rows(side[some]) for side, some in zip((real, synthetic), rows, strict=True))
    known = of_rows(families[0], rows[0]), of_rows(families[1], rows[1])
    xx, yy, xy = gaussian_kernel(x, x), gaussian_kernel(y, y), gaussian_kernel(x, y)
    value = SCALE * float(xx.mean() + yy.mean() - 2 * xy.mean())
    bias = SCALE * ((1 - xx.mean()) / (len(x) - 1) + (1 - yy.mean()) / (len(y) - 1))
    around = mmd2_estimate(Kernels(xx, yy, xy), scale=SCALE, resamples=resamples, seed=seed, families=known)
    return Estimate(value, around.low + bias, around.high + bias, n)


def _some(n: int, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
