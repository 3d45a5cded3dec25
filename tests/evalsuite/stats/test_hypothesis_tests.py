"""Tests against scipy's, and the p values of permutations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from evalsuite.stats import hypothesis_tests


def test_p_value_counts_the_observed_one() -> None:
    """Never 0; NaN where undefined."""
    assert hypothesis_tests.permutation_p(1.0, np.zeros(99)) == 0.01
    assert hypothesis_tests.permutation_p(0.0, np.zeros(99)) == 1.0
    assert np.isnan(hypothesis_tests.permutation_p(float("nan"), np.zeros(9)))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_and_bounded(p: list[float]) -> None:
    """Adjusted values are at least the raw ones, at most Bonferroni's, and keep their order."""
    raw = np.array(p)
    adjusted = hypothesis_tests.holm(raw)
    assert (adjusted >= raw - 1e-12).all()
    assert (adjusted <= np.minimum(1, raw * len(raw)).max() + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= -1e-12).all()


def test_holm_by_hand() -> None:
    """0.01, 0.04, 0.03 among three: 0.03, 0.06, 0.06; NaN stays out of the family."""
    found = hypothesis_tests.holm(np.array([0.01, 0.04, np.nan, 0.03]))
    assert found == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(a: int, b: int) -> None:
    """Exact McNemar is a sign test on the discordant rows."""
    expected = binomtest(a, a + b).pvalue if a + b else 1.0
    assert hypothesis_tests.mcnemar(a, b) == pytest.approx(expected, abs=1e-9)
