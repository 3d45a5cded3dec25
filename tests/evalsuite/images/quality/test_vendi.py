"""The Vendi score counts orthogonal modes."""

from __future__ import annotations

import numpy as np
import pytest

from evalsuite.images.quality.vendi import vendi, vendi_score


@pytest.mark.parametrize("modes", [1, 3, 7])
def test_vendi_counts_orthogonal_modes(modes: int) -> None:
    features = np.repeat(np.eye(8)[:modes], 20, axis=0)
    assert vendi_score(features) == pytest.approx(modes, rel=1e-9)


def test_vendi_uses_either_side_of_the_kernel() -> None:
    """The d x d and the n x n matrix have the same non-zero eigenvalues."""
    x = np.random.default_rng(0).normal(size=(40, 60))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit.T @ unit / len(x))
    values = values[values > 1e-12]
    assert vendi_score(x) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-9)
    estimate = vendi(x)
    assert estimate.low < estimate.value < estimate.high
