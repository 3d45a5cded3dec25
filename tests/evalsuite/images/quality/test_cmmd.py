"""CMMD is the published formula."""

from __future__ import annotations

import numpy as np
import pytest
from image_helpers import clouds

from evalsuite.images.quality.cmmd import cmmd


def test_cmmd_is_the_published_formula() -> None:
    """google-research/cmmd: biased estimate, sigma 10, scale 1000, unit-length embeddings."""
    x, y = clouds(120, 90, 16)
    ux, uy = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))
    gamma = 1 / (2 * 10**2)

    def mean_kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-gamma * ((a[:, None] - b[None]) ** 2).sum(-1)).mean())

    expected = 1000 * (mean_kernel(ux, ux) + mean_kernel(uy, uy) - 2 * mean_kernel(ux, uy))
    estimate = cmmd(x, y)
    assert estimate.value == pytest.approx(expected, rel=1e-9)
    assert estimate.low < estimate.value < estimate.high
