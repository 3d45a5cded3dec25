"""Precision, recall, density and coverage are those of the packages that define them."""

from __future__ import annotations

import pytest
import torch
from image_helpers import clouds

from evalsuite.images.quality.prdc import prdc


@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_coverage_are_the_prdc_packages(k: int) -> None:
    pytest.importorskip("prdc")
    from prdc import compute_prdc

    x, y = clouds(150, 130, 6, shift=0.3)
    theirs = compute_prdc(x, y, k)
    ours = prdc(x, y, k=k, block=64)
    for name, value in theirs.items():
        assert getattr(ours, name).value == pytest.approx(value, abs=1e-12), name


def test_precision_and_recall_are_torch_fidelitys() -> None:
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    x, y = clouds(150, 130, 6, shift=0.3)
    precision, recall = calculate_precision_recall_full(torch.from_numpy(y), torch.from_numpy(x), 3)
    ours = prdc(x, y, k=3)
    assert (ours.precision.value, ours.recall.value) == pytest.approx((precision, recall), abs=1e-7)
