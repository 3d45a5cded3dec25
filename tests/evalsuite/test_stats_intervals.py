"""Intervals of proportions: known values, properties, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from evalsuite.stats import intervals


@given(st.integers(1, 400), st.data())
def test_wilson_is_scipys(n: int, data: st.DataObject) -> None:
    """The reference implementation, to 1e-9."""
    k = data.draw(st.integers(0, n))
    low, high = binomtest(k, n).proportion_ci(method="wilson")
    assert intervals.wilson(k, n) == pytest.approx((low, high), abs=1e-9)


def test_no_rows_is_nan() -> None:
    """Undefined is NaN, never 0 to 1."""
    assert all(math.isnan(v) for v in intervals.wilson(0, 0))
    assert all(math.isnan(v) for v in intervals.mean_of_proportions(np.zeros(2), np.zeros(2)))


@pytest.mark.parametrize("n", [30, 100, 600])
@pytest.mark.parametrize("p", [0.6, 0.8, 0.9])
def test_wilson_coverage(n: int, p: float) -> None:
    """Nominal 95 % gives 93 to 97 %: exact, by summing the binomial."""
    inside = [low <= p <= high for low, high in (intervals.wilson(k, n) for k in range(n + 1))]
    assert 0.93 <= float(binom.pmf(np.arange(n + 1), n, p)[inside].sum()) <= 0.97


@pytest.mark.parametrize("n", [30, 100, 600])
def test_mean_of_proportions_coverage(n: int) -> None:
    """Balanced accuracy over three classes keeps its coverage where single classes hold ten rows."""
    rng, p = np.random.default_rng(n), np.array([0.6, 0.75, 0.85])
    totals = np.full(3, n / 3)
    hits = rng.binomial(n // 3, p, size=(3000, 3)).astype(float)
    covered = np.mean([low <= p.mean() <= high for low, high in (
        intervals.mean_of_proportions(h, totals) for h in hits)])
    assert 0.93 <= covered <= 0.97


def test_copies_of_a_patient_do_not_narrow_the_interval() -> None:
    """Five equal rows a patient: the design effect is about five, and the interval that of the patients."""
    hits = np.random.default_rng(0).random(200) < 0.7
    rows, patients = np.repeat(hits, 5).astype(float), np.repeat(np.arange(200), 5)
    deff = intervals.design_effect(rows, patients)
    assert deff == pytest.approx(5, rel=0.02)
    assert intervals.wilson(rows.sum(), 1000, deff=deff) == pytest.approx(intervals.wilson(hits.sum(), 200), abs=2e-3)
    assert intervals.design_effect(rows, None) == 1.0


@given(st.floats(0.02, 0.98), st.floats(0.03, 0.3))
def test_the_n_that_is_named_is_enough_and_not_more(p: float, half: float) -> None:
    """"n needed" reaches the half width, and one row less does not."""
    n = intervals.n_for_half_width(p, half)
    low, high = intervals.wilson(p * n, n)
    assert high - low <= 2 * half + 1e-12
    if n > 1:
        low, high = intervals.wilson(p * (n - 1), n - 1)
        assert high - low > 2 * half - 1e-12


def test_newcombe_difference() -> None:
    """Newcombe 1998, example (a): 56/70 - 48/80 gives 0.0524 to 0.3339."""
    a, b = intervals.wilson(56, 70), intervals.wilson(48, 80)
    assert intervals.newcombe(56 / 70, a, 48 / 80, b) == pytest.approx((0.0524, 0.3339), abs=5e-5)
