"""No text cell of a CSV is a formula, and reading gives back what was written."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.csv_cells import csv_bytes, guarded
from dermforge.common.tables import read_table

TEXT = st.text(st.sampled_from("'=+-@\tab1.,;\"\n"), min_size=1, max_size=6)
FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", '=HYPERLINK("https://evil.example")', "-a"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text(text: str) -> None:
    """In a cell and in a name of a column."""
    rows = list(csv.reader(io.StringIO(csv_bytes(pd.DataFrame({text: [text], "n": [-1.5]})).decode())))
    assert rows == [[f"'{text}", "n"], [f"'{text}", "-1.5"]]


@pytest.mark.parametrize("number", ["-1", "+2.5", "-1e-7", "-", "-inf", -3, 2.5, None])
def test_a_number_stays_a_number(number: object) -> None:
    assert guarded(number) == number


@given(st.lists(TEXT.map(str.strip).filter(bool), min_size=1, max_size=4))
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Apostrophes of the texts' own included."""
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(csv_bytes(pd.DataFrame({"a": texts, "b": "x"})))
    assert list(read_table(path)["a"]) == texts
