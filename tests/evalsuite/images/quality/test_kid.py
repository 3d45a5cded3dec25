"""The kernel distance is torch-fidelity's, and its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from image_helpers import clouds

from evalsuite.images.quality.kid import SUBSETS, kid, kid_over_subsets


def test_kid_is_torch_fidelitys_to_nine_digits() -> None:
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = clouds(300, 280, 32)
    theirs = kid_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        kid_subsets=SUBSETS,
        kid_subset_size=100,
        rng_seed=2020,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
        verbose=False,
    )["kernel_inception_distance_mean"]
    assert kid_over_subsets(x, y, 100, SUBSETS, 2020) == pytest.approx(theirs, rel=1e-9)
    assert kid(x, y, subset_size=100).value == pytest.approx(theirs, rel=1e-9)


def test_kid_is_clean_fids() -> None:
    """Its subsets come from another generator: equal where one subset holds all samples, near where they are drawn."""
    pytest.importorskip("cleanfid")
    from cleanfid.fid import kernel_distance

    x, y = clouds(300, 300, 32)
    assert kid(x, y).value == pytest.approx(kernel_distance(x, y, num_subsets=1), rel=1e-9)
    np.random.seed(0)  # clean-fid draws with numpy's global state
    theirs = kernel_distance(x, y, num_subsets=100, max_subset_size=150)
    assert kid_over_subsets(x, y, 150, 100, 2020) == pytest.approx(theirs, rel=0.05)


def test_kid_interval_covers_the_truth() -> None:
    """Nominal 95 %: a simulation of 60 pairs must not fall below 85 %, nor call equal sets different."""
    rng = np.random.default_rng(0)
    big = kid_over_subsets(rng.normal(0, 1, (6000, 8)), rng.normal(0.4, 1, (6000, 8)), 3000, 4, 2020)
    hits = nulls = 0
    for _ in range(60):
        shifted = kid(rng.normal(0, 1, (60, 8)), rng.normal(0.4, 1, (60, 8)), resamples=200)
        same = kid(rng.normal(0, 1, (60, 8)), rng.normal(0, 1, (60, 8)), resamples=200)
        hits += shifted.low <= big <= shifted.high
        nulls += same.low <= 0 <= same.high
    assert hits >= 51
    assert nulls >= 51
