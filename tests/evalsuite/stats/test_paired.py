"""Two models on the same rows: Tango's interval, means of it, and no certainty from nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from evalsuite.stats import paired
from evalsuite.stats.largest_difference import Side


def side(only_a: int, only_b: int, n: int) -> Side:
    return Side((only_b - only_a) / n, lambda confidence: paired.tango(only_a, only_b, n, confidence))


def test_published_interval() -> None:
    """7 and 1 discordant of 21: 0.026 to 0.517 (Fagerland, Lydersen & Laake 2014, Table VII, score interval)."""
    assert paired.tango(1, 7, 21) == pytest.approx((0.026, 0.517), abs=5e-4)


def test_no_discordant_row_is_no_certainty() -> None:
    """z^2 / (n + z^2) on both sides."""
    assert paired.tango(0, 0, 10) == pytest.approx((-0.2775, 0.2775), abs=1e-4)
    assert np.isnan(paired.tango(0, 0, 0)).all()


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60))
def test_p_is_mcnemars_and_agrees_with_the_interval(only_a: int, only_b: int, same: int) -> None:
    """The level at which the interval touches 0 is McNemar's (1947) score test."""
    n = only_a + only_b + same
    if n == 0 or only_a == only_b:
        return
    low, high = paired.tango(only_a, only_b, n)
    found = paired.p_of(side(only_a, only_b, n))
    assert found == pytest.approx(chi2.sf((only_a - only_b) ** 2 / (only_a + only_b), 1), abs=1e-6)
    if abs(found - 0.05) > 1e-6:
        assert (low > 0 or high < 0) == (found < 0.05)
    mirrored = paired.tango(only_b, only_a, n)
    assert (low, high) == pytest.approx((-mirrored[1], -mirrored[0]), abs=1e-7)


@pytest.mark.parametrize("n", [30, 100, 600])
def test_coverage(n: int) -> None:
    """Nominal 95 % gives 93 to 97 % for the difference of two models on the same rows."""
    rng, covered, times = np.random.default_rng(n), 0, 3000
    for only_a, only_b, _ in rng.multinomial(n, [0.10, 0.20, 0.70], times):
        low, high = paired.tango(int(only_a), int(only_b), n)
        covered += low <= 0.10 <= high
    assert 0.93 <= covered / times <= 0.97


@pytest.mark.parametrize("n", [12, 20, 40, 200])
@pytest.mark.parametrize("gain", [0.0, 0.03])
def test_a_loss_is_seldom_called_no_worse(n: int, gain: float) -> None:
    """Margin 2 points, true loss 5: at most 2.5 % of tables (error 0.2), with a few rows gained or none."""
    rng = np.random.default_rng(n)
    drawn = rng.multinomial(n, [0.05 + gain, gain, 0.95 - 2 * gain], 5000)
    unique, counts = np.unique(drawn, axis=0, return_counts=True)
    wrong = sum(
        count
        for (a, b, _), count in zip(unique.tolist(), counts.tolist(), strict=True)
        if paired.tango(a, b, n)[0] > -0.02
    )
    assert wrong / 5000 <= 0.025 + 2 * 0.0022


def test_a_mean_of_one_is_itself_and_of_equals_narrower() -> None:
    """MOVER: the mean of four independent equal estimates has half the interval."""
    one = side(3, 9, 80)
    assert paired.mean_of([one]).bounds(0.95) == pytest.approx(one.bounds(0.95))
    low, high = one.bounds(0.95)
    four = paired.mean_of([one] * 4)
    assert four.bounds(0.95) == pytest.approx((one.value - (one.value - low) / 2, one.value + (high - one.value) / 2))
