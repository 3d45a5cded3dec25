"""Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.stats import hypothesis_tests


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
