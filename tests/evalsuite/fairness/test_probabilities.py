"""Numbers of a table: what a program rounds is harmless, what cannot be a probability or a weight is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from evalsuite.fairness.probabilities import probabilities, row_weights

IDS = np.array(["i0", "i1"])


@given(error=st.floats(-1e-6, 1e-6), p=st.floats(0, 1))
def test_rounding_beyond_0_and_1_is_harmless(error: float, p: float) -> None:
    """A softmax of another program ended at -1e-12."""
    frame = pd.DataFrame({"a": [p, 1 - error], "b": [1 - p, error]})
    found = probabilities(frame, IDS, "t")
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(1, abs=2e-6)
    assert found == pytest.approx(frame.to_numpy(), abs=2e-6)


@pytest.mark.parametrize("wrong", [-0.01, 1.2, float("nan"), "high"])
def test_what_is_no_probability_is_refused(wrong: Any) -> None:
    frame = pd.DataFrame({"a": [0.5, wrong], "b": [0.5, 0.5]}, dtype=object)
    with pytest.raises(UserError, match=r"(in|of) 1 rows"):
        probabilities(frame, IDS, "t")


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), "many"])
def test_what_is_no_weight_is_refused(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"as the weight of 1 rows \(ids i1\)"):
        row_weights(pd.Series([1, wrong], name="weight", dtype=object), IDS, "t")


@pytest.mark.parametrize(("given", "rows"), [([0, 0], 2), ([1.5, 0], 1)])
def test_a_row_that_stands_for_nobody_is_refused(given: list[float], rows: int) -> None:
    """It would count among the images that a number rests on; a group of such rows has no value at all."""
    with pytest.raises(UserError, match=f"the weight of {rows} rows is 0 .*drop the rows"):
        row_weights(pd.Series(given, name="weight"), IDS, "t")
