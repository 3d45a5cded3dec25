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


@pytest.mark.parametrize("n", [30, 100, 600])
def test_wilson_coverage(n: int) -> None:
    """Nominal 95 % gives 93 to 97 % over shares from 0.5 to 0.95; exact, by summing the binomial.

    At a single share it swings with the lattice of counts: 97.4 % at n = 30 and 0.9, for one.
    """
    bounds = np.array([intervals.wilson(k, n) for k in range(n + 1)])
    found = []
    for p in np.linspace(0.5, 0.95, 200):
        inside = (bounds[:, 0] <= p) & (p <= bounds[:, 1])
        found.append(binom.pmf(np.arange(n + 1), n, p)[inside].sum())
    assert 0.93 <= np.mean(found) <= 0.97
    assert min(found) >= 0.91


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

