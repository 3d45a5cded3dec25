"""Net benefit: the formula by scikit-learn's counts, acting on all and on none, and intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from evalsuite.fairness.decision_curve import at_prevalence, decision_curve


def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities."""
    chance = rng.beta(1.2, 4, n)
    return chance, rng.random(n) < chance


def test_it_is_vickers_and_elkins_formula() -> None:
    chance, positive = drawn(np.random.default_rng(0), 500)
    curve = decision_curve(chance, positive)
    for t, value in zip(curve.thresholds, curve.net_benefit, strict=True):
        (_, fp), (_, tp) = confusion_matrix(positive, chance >= t)
        assert value == pytest.approx(tp / 500 - fp / 500 * t / (1 - t), abs=1e-9)
    prevalence = positive.mean()
    assert curve.treat_all == pytest.approx(prevalence - (1 - prevalence) * curve.thresholds / (1 - curve.thresholds))


def test_another_prevalence_reweighs_both_kinds() -> None:
    """A table with each positive taken four times has the curve of that prevalence; weights do the same."""
    chance, positive = drawn(np.random.default_rng(1), 400)
    times = np.where(positive, 4, 1)
    repeated = decision_curve(np.repeat(chance, times), np.repeat(positive, times))
    stated = decision_curve(chance, positive, prevalence=repeated.prevalence)
    weighted = decision_curve(chance, positive, weights=times.astype(float))
    assert stated.net_benefit == pytest.approx(repeated.net_benefit)
    assert weighted.net_benefit == pytest.approx(repeated.net_benefit)


def test_probabilities_move_to_another_prevalence_as_bayes_says() -> None:
    """Calibrated ones stay calibrated where the positives are thinned to another prevalence, and back again."""
    rng = np.random.default_rng(3)
    chance, positive = drawn(rng, 400_000)
    before = float(positive.mean())
    kept = ~positive | (rng.random(len(positive)) < 0.1)
    after = float(positive[kept].mean())
    now = at_prevalence(chance, before, after)
    high = now[kept] > 0.2
    assert positive[kept][high].mean() == pytest.approx(now[kept][high].mean(), abs=0.01)
    assert at_prevalence(now, after, before) == pytest.approx(chance)


def test_its_band_covers_the_truth_and_is_never_without_width() -> None:
    """Of 300 tables of 200 images, 91 to 99 % at each of five thresholds; positives without a miss have a width."""
    rng, at = np.random.default_rng(2), np.array([0.05, 0.1, 0.2, 0.4, 0.5])
    chance, positive = drawn(rng, 400_000)
    share = float(positive.mean())
    truth = decision_curve(chance, positive, prevalence=share, thresholds=at).net_benefit
    inside = []
    for _ in range(300):
        curve = decision_curve(*drawn(rng, 200), prevalence=share, thresholds=at)
        inside.append((curve.low <= truth) & (truth <= curve.high))
    covered = np.mean(inside, axis=0)
    assert (covered > 0.91).all(), covered
    assert (covered <= 0.99).all(), covered
    sure = decision_curve(np.r_[np.ones(12), np.zeros(40)], np.arange(52) < 12)
    assert (sure.high - sure.low > 0.02).all()
