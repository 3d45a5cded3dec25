"""Thresholds keep the specificity that they were fixed at."""

from __future__ import annotations

import numpy as np
import pytest

from evalsuite.stats import thresholds


def test_thresholds_keep_the_specificity() -> None:
    """At least the wanted share of negatives lies below; ties go to the safe side."""
    scores, positive = np.array([0.1, 0.2, 0.2, 0.2, 0.3, 0.9]), np.array([0, 0, 0, 0, 0, 1], bool)
    assert (scores[~positive] < thresholds.at_specificity(scores, positive, 0.8)).mean() >= 0.8
    assert np.isnan(thresholds.at_specificity(scores, np.ones(6, bool), 0.8))
    assert np.isnan(thresholds.plausible(scores, np.ones(6, bool), 0.8)).all()


@pytest.mark.parametrize("n", [40, 400])
def test_plausible_thresholds_are_those_of_other_validation_sets(n: int) -> None:
    """Their mean and spread on the scale of specificity are those of validation sets drawn anew."""
    rng, none = np.random.default_rng(n), np.zeros(n, bool)
    one = thresholds.plausible(np.arange(1, n + 1) / (n + 1), none, 0.9)
    drawn = np.array([thresholds.at_specificity(rng.random(n), none, 0.9) for _ in range(4000)])
    assert one.mean() == pytest.approx(drawn.mean(), abs=0.01)
    assert one.std() == pytest.approx(drawn.std(), rel=0.1)


def test_clustered_negatives_fix_a_threshold_less_well() -> None:
    """Each negative five times is as uncertain as the negatives alone."""
    rng = np.random.default_rng(0)
    scores, none = rng.random(100), np.zeros(100, bool)
    five, patients = np.repeat(scores, 5), np.repeat(np.arange(100), 5)
    spread = [
        thresholds.plausible(scores, none, 0.9).std(),
        thresholds.plausible(five, np.zeros(500, bool), 0.9).std(),
        thresholds.plausible(five, np.zeros(500, bool), 0.9, patients).std(),
    ]
    assert spread[2] == pytest.approx(spread[0], rel=0.25)
    assert spread[1] < 0.6 * spread[0]
