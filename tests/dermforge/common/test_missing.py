"""One rule for cells that say nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.missing import WORDS, is_missing, is_missing_code, present, present_code


@pytest.mark.parametrize("value", [None, float("nan"), np.nan, pd.NA, pd.NaT, [], {}, np.array([]), "", " NA ", "N/A"])
def test_what_says_nothing(value: object) -> None:
    assert is_missing(value)
    assert is_missing_code(value)


@pytest.mark.parametrize("value", ["0", 0, 0.0, False, "nevus", "NV", "none of these", "unknown primary", ["a"], "-2"])
def test_what_says_something(value: object) -> None:
    assert not is_missing(value)


@given(st.sampled_from(sorted(WORDS)), st.sampled_from([str.upper, str.title, str.lower]))
def test_case_blanks_and_underscores_make_no_difference(word: str, case: object) -> None:
    assert is_missing(f"  {case(word)} ".replace(" ", "_"))  # type: ignore[operator]


def test_minus_one_is_missing_in_codes_only() -> None:
    assert (present("-1"), present_code("-1"), present_code("-1.0"), present_code(" 3 ")) == ("-1", None, None, "3")
    assert is_missing_code(-1)
    assert is_missing_code(-1.0)
