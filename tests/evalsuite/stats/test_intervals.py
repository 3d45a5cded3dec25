"""Intervals of proportions: known values, properties, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from evalsuite.stats import intervals


@settings(deadline=None)
@given(st.integers(1, 400), st.data())
def test_wilson_is_scipys(n: int, data: st.DataObject) -> None:
    """The reference implementation, to 1e-9."""
    k = data.draw(st.integers(0, n))
    low, high = binomtest(k, n).proportion_ci(method="wilson")
    assert intervals.wilson(k, n) == pytest.approx((low, high), abs=1e-9)


@settings(deadline=None)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_exact_interval_is_scipys(n: int, data: st.DataObject, confidence: float) -> None:
    k = data.draw(st.integers(0, n))
    low, high = binomtest(k, n).proportion_ci(confidence, method="exact")
    assert intervals.clopper_pearson(k, n, confidence) == pytest.approx((low, high), abs=1e-9)
    assert intervals.clopper_pearson(4 * k, 4 * n, confidence, deff=4) == pytest.approx((low, high), abs=1e-9)


def test_no_rows_is_nan() -> None:
    """Undefined is NaN, never 0 to 1."""
    assert all(math.isnan(v) for v in intervals.clopper_pearson(0, 0))
    assert all(math.isnan(v) for v in intervals.wilson(0, 0))


@pytest.mark.parametrize("n", [30, 100, 600])
def test_wilson_coverage(n: int) -> None:
    """Nominal 95 % gives 93 to 97 % over shares from 0.1 to 0.9; exact, by summing the binomial.

    Counts are whole, so coverage swings with the share. From n = 100 it stays within 93 to 97 % at every share; at
    n = 30 at 96 % of the shares, which is as many as Jeffreys, mid-p or Clopper & Pearson reach (docs/validation.md).
    """
    p, k = np.linspace(0.1, 0.9, 401), np.arange(n + 1)
    low, high = np.array([intervals.wilson(float(i), n) for i in k]).T
    inside = (low[:, None] <= p) & (p <= high[:, None])
    found = (binom.pmf(k[:, None], n, p) * inside).sum(axis=0)
    assert 0.945 <= found.mean() <= 0.955
    assert ((found >= 0.93) & (found <= 0.97)).mean() >= (0.95 if n == 30 else 1.0)


def test_a_score_that_is_a_share_has_wilsons_interval() -> None:
    """With a binomial's variance and many degrees of freedom the interval of a score is that of a proportion."""
    found = intervals.score_interval(0.8, 0.8 * 0.2 / 100, 100, intervals.z_of)
    assert found == pytest.approx(intervals.wilson(80, 100), abs=1e-9)
    assert intervals.score_interval(1.0, 0.0, 20, intervals.z_of) == pytest.approx(intervals.wilson(20, 20), abs=1e-9)
    assert intervals.score_interval(1.6, 4 * 0.16 / 100, 100, intervals.z_of, top=2.0) == pytest.approx(
        [2 * v for v in intervals.wilson(80, 100)], abs=1e-9
    )
    assert np.isnan(intervals.score_interval(math.nan, 0.1, 10, intervals.student(5))).all()


def test_a_small_stratum_brings_the_size_down() -> None:
    """Ten and ten rows are twenty; a thousand and ten are forty, with the degrees of freedom of the ten."""
    assert intervals.effective_size(np.array([10, 10, 0])) == pytest.approx((20, 18))
    size, degrees = intervals.effective_size(np.array([1000, 10]))
    assert size == pytest.approx(4 / 0.101)
    assert 9 <= degrees < 10
    assert intervals.effective_size(np.array([1, 1])) == (2.0, 1.0)


@settings(deadline=None)
@given(st.floats(0.02, 0.98), st.floats(0.03, 0.3))
def test_the_n_that_is_named_is_enough_and_not_more(p: float, half: float) -> None:
    """ "n needed" reaches the half width, and one row less does not."""
    n = intervals.n_for_half_width(p, half)
    low, high = intervals.wilson(p * n, n)
    assert high - low <= 2 * half + 1e-12
    if n > 1:
        low, high = intervals.wilson(p * (n - 1), n - 1)
        assert high - low > 2 * half - 1e-12


#: Rows of each class; the least and the most that an interval holds, rates from 0.5 to 0.9; and beyond, up to 0.98.
MEANS = [
    ((15, 15), (93.4, 97.5), 98.0),
    ((24, 6), (94.3, 97.4), 99.3),
    ((10, 10, 10), (93.5, 97.3), 98.4),
    ((18, 7, 5), (93.9, 96.5), 98.8),
    ((50, 50), (94.0, 96.4), 98.5),
    ((80, 20), (94.3, 97.2), 98.9),
    ((90, 10), (94.1, 98.2), 99.5),
    ((300, 300), (94.5, 95.7), 95.9),
]


@pytest.mark.parametrize(("sizes", "bounds", "most"), MEANS)
def test_the_mean_of_shares_is_covered(sizes: tuple[int, ...], bounds: tuple[float, float], most: float) -> None:
    """Nominal 95 % holds the mean of the sensitivities as docs/validation.md says; exact, by summing over all outcomes.

    The percentile bootstrap of balanced accuracy gave 58 %. With 30 rows coverage swings as it does for a single share.
    """
    m, rates = np.array(sizes), np.arange(50, 99) / 100
    hits = np.stack(np.meshgrid(*(np.arange(size + 1) for size in sizes), indexing="ij"), axis=-1).reshape(-1, len(m))
    low, high = np.array([intervals.mean_of_shares(k / m, m) for k in hits]).T
    chance = np.prod(binom.pmf(hits[:, None, :], m, rates[:, None]), axis=2)
    held = 100 * (chance * ((low[:, None] <= rates) & (rates <= high[:, None]))).sum(axis=0)
    near = held[rates <= 0.9]
    assert (near.min(), near.max()) == pytest.approx(bounds, abs=0.06)
    assert held.max() == pytest.approx(most, abs=0.06)
    assert held.min() >= 93


def test_one_share_is_agresti_and_coulls_and_copies_do_not_narrow() -> None:
    """Price & Bonett's interval of one stratum is Agresti & Coull's centre and width; deff divides the sizes."""
    low, high = intervals.mean_of_shares(np.array([0.74]), np.array([50]))
    squared = 1.959963985**2
    centre = (37 + squared / 2) / (50 + squared)
    assert (low + high) / 2 == pytest.approx(centre, abs=1e-9)
    assert ((high - low) / 2) ** 2 == pytest.approx(squared * centre * (1 - centre) / (50 + squared), abs=1e-9)
    rates, sizes = np.array([0.7, 0.9, np.nan]), np.array([40, 20, 0])
    assert intervals.mean_of_shares(rates, 3 * sizes, deff=3) == pytest.approx(intervals.mean_of_shares(rates, sizes))
    assert np.isnan(intervals.mean_of_shares(rates[2:], sizes[2:])).all()


@given(value=st.floats(-1, 1), error=st.floats(0.001, 0.8), degrees=st.sampled_from([1.0, 2.5, 30.0, math.inf]))
def test_the_interval_of_a_difference_is_possible_and_agrees_with_its_p(
    value: float, error: float, degrees: float
) -> None:
    low, high = intervals.difference_interval(value, error**2, degrees)
    assert -1 <= low <= value <= high <= 1
    p = intervals.difference_p(value, error**2, degrees)
    assert (p < 0.05) == (low > 0 or high < 0) or p == pytest.approx(0.05)
    mirrored = intervals.difference_interval(-value, error**2, degrees)
    assert mirrored == pytest.approx((-high, -low))


@pytest.mark.parametrize(("rates", "n"), [((0.7, 0.75), 300), ((0.9, 0.5), 40), ((0.95, 0.95), 60)])
def test_the_interval_of_a_difference_covers(rates: tuple[float, float], n: int) -> None:
    """With the binomial variances known, 95 % of intervals hold the truth, as the interval without the scale does."""
    rng = np.random.default_rng(n)
    variance = sum(p * (1 - p) / n for p in rates)
    drawn = rng.binomial(n, rates, (4000, 2)) / n
    held = [
        low <= rates[1] - rates[0] <= high
        for low, high in (intervals.difference_interval(b - a, variance) for a, b in drawn.tolist())
    ]
    assert 0.93 <= np.mean(held) <= 0.98
