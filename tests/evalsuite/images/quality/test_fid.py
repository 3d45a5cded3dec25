"""The Frechet distance is that of torch-fidelity and of its closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from image_helpers import clouds

from evalsuite.images.quality.fid import fid, frechet_distance, moments


def test_fid_is_torch_fidelitys_to_six_digits() -> None:
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    x, y = clouds(400, 350, 48)
    statistics = [fid_features_to_statistics(torch.from_numpy(side)) for side in (x, y)]
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(theirs, rel=1e-6)


def test_fid_is_clean_fids_to_six_digits() -> None:
    pytest.importorskip("cleanfid")
    from cleanfid.fid import frechet_distance as theirs

    x, y = clouds(400, 350, 48)
    (a, b), (c, d) = ((side.mean(0), np.cov(side, rowvar=False)) for side in (x, y))
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(theirs(a, b, c, d), rel=1e-6)


def test_fid_of_gaussians_has_its_closed_form() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (200_000, 2)), rng.normal(3, 2, (200_000, 2))
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(2 * (9 + 1), rel=0.01)


def test_fid_of_too_few_samples_is_not_enough_data() -> None:
    x, y = clouds(30, 30, 48)
    estimate = fid(x, y)
    assert np.isnan(estimate.value)
    assert estimate.text() == "not enough data"
    assert "rank-deficient" in estimate.note
