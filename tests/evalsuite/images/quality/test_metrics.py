"""Each metric gives the number of the library or the formula that defines it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.images.quality.cmmd import cmmd
from evalsuite.images.quality.fid import fid, frechet_distance, moments
from evalsuite.images.quality.kid import kid, kid_over_subsets
from evalsuite.images.quality.prdc import prdc
from evalsuite.images.quality.vendi import vendi, vendi_score
from evalsuite.stats.estimate import bootstrap_mean, bootstrap_of


def clouds(n: int, m: int, d: int, shift: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    return rng.normal(size=(n, d)) @ mix, rng.normal(size=(m, d)) @ mix * 1.1 + shift


def test_fid_is_torch_fidelitys_to_six_digits() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    x, y = clouds(400, 350, 48)
    statistics = [fid_features_to_statistics(torch.from_numpy(side)) for side in (x, y)]
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert frechet_distance(moments([x]), moments([y])) == pytest.approx(theirs, rel=1e-6)


def test_fid_of_gaussians_has_its_closed_form() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (200_000, 2)), rng.normal(3, 2, (200_000, 2))
    assert frechet_distance(moments([x]), moments([y])) == pytest.approx(2 * (9 + 1), rel=0.01)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_streamed_moments_do_not_depend_on_the_batches(sizes: list[int]) -> None:
    x = np.random.default_rng(0).normal(5, 3, (sum(sizes) + 2, 4))
    parts = np.split(x, np.cumsum(sizes))
    streamed = moments(p for p in parts if len(p))
    np.testing.assert_allclose(streamed.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(streamed.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-12)


def test_fid_of_too_few_samples_is_not_enough_data() -> None:
    x, y = clouds(30, 30, 48)
    estimate = fid(x, y)
    assert np.isnan(estimate.value)
    assert estimate.text() == "not enough data"
    assert "rank-deficient" in estimate.note


def test_kid_is_torch_fidelitys_to_nine_digits() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = clouds(300, 280, 32)
    theirs = kid_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        kid_subsets=20,
        kid_subset_size=100,
        rng_seed=2020,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
        verbose=False,
    )["kernel_inception_distance_mean"]
    assert kid_over_subsets(x, y, 100, 20, 2020) == pytest.approx(theirs, rel=1e-9)
    assert kid(x, y, subset_size=100, subsets=20).value == pytest.approx(theirs, rel=1e-9)


def test_kid_interval_covers_the_truth() -> None:
    """Nominal 95 %: a simulation of 60 pairs must not fall below 85 %, nor call equal sets different."""
    rng = np.random.default_rng(0)
    big = kid(rng.normal(0, 1, (6000, 8)), rng.normal(0.4, 1, (6000, 8)), subset_size=3000, subsets=4).value
    hits = nulls = 0
    for _ in range(60):
        shifted = kid(rng.normal(0, 1, (60, 8)), rng.normal(0.4, 1, (60, 8)), resamples=200)
        same = kid(rng.normal(0, 1, (60, 8)), rng.normal(0, 1, (60, 8)), resamples=200)
        hits += shifted.low <= big <= shifted.high
        nulls += same.low <= 0 <= same.high
    assert hits >= 51
    assert nulls >= 51


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


@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_coverage_are_the_prdc_packages(k: int) -> None:
    from prdc import compute_prdc

    x, y = clouds(150, 130, 6, shift=0.3)
    theirs = compute_prdc(x, y, k)
    ours = prdc(x, y, k=k, block=64)
    for name, value in theirs.items():
        assert getattr(ours, name).value == pytest.approx(value, abs=1e-12), name


def test_precision_and_recall_are_torch_fidelitys() -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    x, y = clouds(150, 130, 6, shift=0.3)
    precision, recall = calculate_precision_recall_full(torch.from_numpy(y), torch.from_numpy(x), 3)
    ours = prdc(x, y, k=3)
    assert (ours.precision.value, ours.recall.value) == pytest.approx((precision, recall), abs=1e-7)


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


REPEATED = 5
MEASURES = {
    "kernel distance": lambda x, y, a, b: kid(x, y, families=(a, b)),
    "Frechet distance": lambda x, y, a, b: fid(x, y, families=(a, b)),
    "CMMD": lambda x, y, a, b: cmmd(x, y, families=(a, b)),
    "precision": lambda x, y, a, b: prdc(x, y, k=5 * REPEATED, families=(a, b)).precision,
    "density": lambda x, y, a, b: prdc(x, y, k=5 * REPEATED, families=(a, b)).density,
    "coverage": lambda x, y, a, b: prdc(x, y, k=5 * REPEATED, families=(a, b)).coverage,
    "Vendi": lambda x, y, a, b: vendi(y, family=b),
    "mean": lambda x, y, a, b: bootstrap_mean(y[:, 0], family=b),
    "correlation": lambda x, y, a, b: bootstrap_of(
        lambda u, v: float(np.corrcoef(u, v)[0, 1]), y[:, 0], y[:, 1], family=b
    ),
}


@pytest.mark.parametrize("name", list(MEASURES))
def test_repeating_images_adds_no_certainty(name: str) -> None:
    """Five copies of each image as one family give about the interval of the images alone; as single ones, half."""
    x, y = clouds(60, 60, 4, shift=0.6)
    x5, y5 = (np.repeat(side, REPEATED, axis=0) + np.random.default_rng(1).normal(0, 1e-3, (300, 4)) for side in (x, y))
    family = np.repeat(np.arange(60), REPEATED)

    def width(family: np.ndarray | None) -> float:
        found = MEASURES[name](x5, y5, family, family)
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert width(None) < 0.65 * width(family)
    if name not in ("precision", "density", "coverage"):  # whose k counts the copies
        alone = {"Vendi": vendi(y), "mean": bootstrap_mean(y[:, 0])}.get(name) or MEASURES[name](x, y, None, None)
        assert width(family) == pytest.approx(alone.high - alone.low, rel=0.25)
