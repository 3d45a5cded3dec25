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


def test_no_rows_is_nan() -> None:
    """Undefined is NaN, never 0 to 1."""
    assert all(math.isnan(v) for v in intervals.wilson(0, 0))


@pytest.mark.parametrize("n", [30, 100, 600])
def test_wilson_coverage(n: int) -> None:
    """Nominal 95 % gives 93 to 97 % over shares from 0.1 to 0.9; exact, by summing the binomial.

    Counts are whole, so coverage swings with the share. From n = 100 it stays within 93 to 97 % at every share; at
    n = 30 at 96 % of the shares, which is as many as Jeffreys, mid-p or Clopper & Pearson reach (docs/intervals.md).
    """
    p, k = np.linspace(0.1, 0.9, 401), np.arange(n + 1)
    low, high = np.array([intervals.wilson(i, n) for i in k]).T
    inside = (low[:, None] <= p) & (p <= high[:, None])
    found = (binom.pmf(k[:, None], n, p) * inside).sum(axis=0)
    assert 0.945 <= found.mean() <= 0.955
    assert ((found >= 0.93) & (found <= 0.97)).mean() >= (0.95 if n == 30 else 1.0)


def test_a_score_that_is_a_share_has_wilsons_interval() -> None:
    """With a binomial's variance and many degrees of freedom the interval of a score is that of a proportion."""
    found = intervals.score_interval(0.8, 0.8 * 0.2 / 100, 100, 1e9)
    assert found == pytest.approx(intervals.wilson(80, 100), abs=1e-9)
    assert intervals.score_interval(1.0, 0.0, 20, 1e9) == pytest.approx(intervals.wilson(20, 20), abs=1e-9)
    assert intervals.score_interval(1.6, 4 * 0.16 / 100, 100, 1e9, top=2.0) == pytest.approx(
        [2 * v for v in intervals.wilson(80, 100)], abs=1e-9)
    assert np.isnan(intervals.score_interval(math.nan, 0.1, 10, 5)).all()


def test_a_small_stratum_brings_the_size_down() -> None:
    """Ten and ten rows are twenty; a thousand and ten are forty, with the degrees of freedom of the ten."""
    assert intervals.effective_size(np.array([10, 10, 0])) == pytest.approx((20, 18))
    size, degrees = intervals.effective_size(np.array([1000, 10]))
    assert size == pytest.approx(4 / 0.101)
    assert 9 <= degrees < 10
    assert intervals.effective_size(np.array([1, 1])) == (2.0, 1.0)


def test_copies_of_a_patient_do_not_narrow_the_interval() -> None:
    """Five equal rows a patient: the design effect is about five, and the interval that of the patients."""
    hits = np.random.default_rng(0).random(200) < 0.7
    rows, patients = np.repeat(hits, 5).astype(float), np.repeat(np.arange(200), 5)
    deff = intervals.design_effect(rows, patients)
    assert deff == pytest.approx(5, rel=0.02)
    assert intervals.wilson(rows.sum(), 1000, deff=deff) == pytest.approx(intervals.wilson(hits.sum(), 200), abs=2e-3)
    assert intervals.design_effect(rows, None) == 1.0


@settings(deadline=None)
@given(st.floats(0.02, 0.98), st.floats(0.03, 0.3))
def test_the_n_that_is_named_is_enough_and_not_more(p: float, half: float) -> None:
    """"n needed" reaches the half width, and one row less does not."""
    n = intervals.n_for_half_width(p, half)
    low, high = intervals.wilson(p * n, n)
    assert high - low <= 2 * half + 1e-12
    if n > 1:
        low, high = intervals.wilson(p * (n - 1), n - 1)
        assert high - low > 2 * half - 1e-12


@pytest.mark.parametrize(("n", "least", "most"), [(30, 0.93, 0.99), (100, 0.93, 0.985), (600, 0.93, 0.975)])
@pytest.mark.parametrize("share", [(1, 1), (4, 1), (12, 5, 3), (1,) * 6])
def test_balanced_accuracy_is_covered(n: int, least: float, most: float, share: tuple[int, ...]) -> None:
    """Nominal 95 % is never below 93, whatever the rates and however small a class; 93 to 97 % at n = 600.

    Few rows that are nearly all right cannot be met from above (counts are whole): there it errs on the safe side.
    The percentile bootstrap gave 58 %. The variance is what the bootstrap of m - 1 rows shows; the last half point
    of the bounds is the error of 2,000 tables.
    """
    sizes = np.array(share) * n // sum(share)
    size, degrees = intervals.effective_size(sizes)
    rng = np.random.default_rng(n)
    for rate in (0.6, 0.7, 0.8, 0.9, 0.97):
        rates, times = rng.binomial(sizes, rate, (2000, len(sizes))) / sizes, {}
        covered = 0
        for row in map(tuple, rates):
            times[row] = times.get(row, 0) + 1
        for row, count in times.items():
            p = np.array(row)
            seen = float((p * (1 - p) / (sizes - 1)).sum()) / len(p) ** 2
            variance = max(seen, intervals.variance_of_mean(p, sizes))
            low, high = intervals.score_interval(float(p.mean()), variance, size, degrees)
            covered += count * (low <= rate <= high)
        assert least <= covered / 2000 <= most, rate
