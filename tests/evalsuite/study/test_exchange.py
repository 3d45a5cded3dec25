"""A planted exchange rate comes back, and nothing is read beyond the sizes measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evalsuite.study.exchange import LearningCurve, exchange

SIZES = np.array([8.0, 16, 32, 64, 128])


def power(n: np.ndarray) -> np.ndarray:
    return 1 - (0.1 + 1.2 * n**-0.6)


def noisy(values: np.ndarray, sd: float, b: int = 200, seed: int = 0) -> np.ndarray:
    return values[:, None] + np.random.default_rng(seed).normal(0, sd, (len(values), b))


def test_exchange_rate_planted_in_the_curve_is_found_within_its_interval() -> None:
    """16 real images plus synthetic ones that stand for 24 more must read 24, at 0.15 each."""
    mixed = float(power(np.array([40.0]))[0])
    scores = power(SIZES)
    curve = LearningCurve(SIZES, scores, noisy(scores, 0.004))
    found = exchange(curve, 16, 160, mixed, mixed + np.random.default_rng(1).normal(0, 0.004, 200))
    assert found.effective == pytest.approx(40, rel=0.01)
    assert found.rate == pytest.approx(24 / 160, rel=0.01)
    assert found.low < 40 < found.high < 60
    assert found.text().startswith(
        "16 real images per class with 160 synthetic ones do as well as 40 real ones alone (95%"
    )


@pytest.mark.parametrize(("score", "word"), [(0.89, "above"), (0.3, "below")])
def test_a_score_beyond_the_sizes_measured_is_not_extrapolated(score: float, word: str) -> None:
    """Reading a curve beyond its points is guessing."""
    scores = power(SIZES)
    curve = LearningCurve(SIZES, scores, noisy(scores, 0.001, 20))
    found = exchange(curve, 16, 160, score, np.full(20, score))
    assert math.isnan(found.rate)
    assert found.text() == f"outside the fitted range ({word} the fitted range)"


def test_an_interval_of_all_sizes_is_inconclusive() -> None:
    """A level curve read backwards gives any number: not `worth -21 real images`, and no infinity on the page."""
    level = np.full(len(SIZES), 0.5) + 0.001 * np.arange(len(SIZES))
    curve = LearningCurve(SIZES, level, noisy(level, 0.05))
    found = exchange(curve, 16, 48, 0.502, noisy(np.array([0.502]), 0.05, seed=1)[0])
    assert (found.low, found.high, found.outside) == (-math.inf, math.inf, "")
    assert found.text().startswith("inconclusive")
    assert found.rate_text() == ("", "")
    scores = power(SIZES)
    curve = LearningCurve(SIZES, scores, noisy(scores, 0.004))
    near = exchange(curve, 16, 800, 0.83, noisy(np.array([0.83]), 0.004, seed=1)[0])
    assert near.conclusive
    assert math.isinf(near.high)
    assert near.rate_text()[1].endswith(" to beyond the largest size measured")
