"""Calibration error without its bias, slopes, coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evalsuite.stats import calibration


@pytest.mark.parametrize("n", [100, 600])
@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_ece_is_without_its_bias_and_covered(n: int, slope: float) -> None:
    """The corrected value is nearer the truth than the plug-in; 93 to 97 % of intervals hold their bins' error."""
    rng, times, covered = np.random.default_rng(n), 800, 0
    found: list[tuple[float, float]] = []
    chance = rng.uniform(0.5, 0.999, 200_000)
    logit = np.log(chance / (1 - chance)) / slope
    truth = float(np.abs(1 / (1 + np.exp(-logit)) - chance).mean())
    for _ in range(times):
        pick = rng.integers(0, len(chance), n)
        said, right = 1 / (1 + np.exp(-logit[pick])), (rng.random(n) < chance[pick]).astype(float)
        bins = calibration.equal_mass_bins(said)
        sums: list[Any] = [np.bincount(bins, weights=w).astype(float) for w in (np.ones(n), said, right)]
        plain, corrected = calibration.ece(*(s[:, None] for s in sums))
        low, high = calibration.ece_interval(sums[0], sums[1], sums[2])
        binned = np.abs(sums[1] - np.bincount(bins, weights=chance[pick])).sum() / n
        covered += low <= binned <= high
        found.append((plain[0], corrected[0]))
    plain_error, corrected_error = np.abs(np.mean(found, axis=0) - truth)
    assert corrected_error < 0.6 * plain_error
    assert 0.93 - 0.015 <= covered / times <= 0.97 + 0.015  # twice the error of 800 tables


def test_recalibration_finds_the_slope() -> None:
    """Predictions twice as confident as they should be have slope 0.5; clusters of copies do not narrow it."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=4000)
    event = rng.random(4000) < 1 / (1 + np.exp(-logit))
    fit = calibration.recalibrate(1 / (1 + np.exp(-2 * logit)), event)
    assert fit.slope_interval()[0] < 0.5 < fit.slope_interval()[1]
    copies = calibration.recalibrate(
        np.tile(1 / (1 + np.exp(-2 * logit)), 3), np.tile(event, 3), np.tile(np.arange(4000), 3)
    )
    assert copies.slope_se == pytest.approx(fit.slope_se, rel=0.01)
    assert np.isnan(calibration.recalibrate(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1], bool)).slope)
