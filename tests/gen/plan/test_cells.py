"""Counts per cell: exact totals, the rare and the error-prone get more, nothing falls below its floor."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from gen.plan import cells

CELLS = [("a", "dark"), ("a", "light"), ("b", "dark"), ("b", "light")]


def test_balance_brings_every_cell_to_the_largest() -> None:
    real = pd.DataFrame({"class": ["a"] * 5 + ["b"], "group": ["dark"] * 2 + ["light"] * 3 + ["light"]})
    assert cells.balanced(real, CELLS) == {CELLS[0]: 1, CELLS[1]: 0, CELLS[2]: 3, CELLS[3]: 2}
    assert cells.balanced(real, CELLS, target=10)[CELLS[1]] == 7
    assert cells.balanced(real, [("a", None), ("b", None)]) == {("a", None): 0, ("b", None): 4}


def test_more_images_where_a_classifier_errs(tmp_path: Path) -> None:
    """Half of (a, dark) is wrong and nothing else: it gets most of what is above the floor."""
    rows = [
        {"id": f"{c}{g}{i}", "label": c, "group": g, "prob_a": 1.0 - p, "prob_b": p}
        for c, g in CELLS
        for i in range(20)
        for p in [float((c == "b") != (c == "a" and g == "dark" and i < 10))]
    ]
    path = tmp_path / "predictions.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    counts = cells.from_errors(path, CELLS, total=200, floor=10)
    assert sum(counts.values()) == 200
    assert min(counts.values()) >= 10
    assert counts[("a", "dark")] > 100
    with pytest.raises(UserError, match="cannot give 4 cells 10 each"):
        cells.from_errors(path, CELLS, total=20, floor=10)
    with pytest.raises(UserError, match="no column 'skin'"):
        cells.from_errors(path, CELLS, 100, 1, group="skin")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("id,label,group,prob_a,prob_b\n1,a,dark,0.5,\n", "1 of 1 rows lack a probability"),
        ("id,label,group,prob_a,prob_b\n1,a,dark,high,low\n", "other than numbers"),
        ("id,label,group,prob_a,prob_b\n1,A,VI,0.5,0.5\n", "none of the cells asked for"),
        ("id,label,group\n1,a,dark\n", "no prob_<class> columns"),
    ],
)
def test_predictions_that_say_nothing_are_refused(tmp_path: Path, text: str, word: str) -> None:
    """Else every cell would quietly get the same."""
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=word):
        cells.from_errors(path, CELLS, 100, 1)


def test_a_cell_table_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("class,group,n\na,dark,3\nb,,4\n")
    assert cells.from_table(path) == {("a", "dark"): 3, ("b", None): 4}
    for text, word in (
        ("class,n\na,-1\n", "0 or more"),
        ("class\na\n", "no column 'n'"),
        ("class,n\na,1\na,2\n", "expected one row"),
        ("class,n\na,many\n", "0 or more"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=word):
            cells.from_table(path)
    with pytest.raises(UserError, match="no file"):
        cells.from_table(tmp_path / "none.csv")


@given(
    st.dictionaries(st.tuples(st.text(), st.none()), st.floats(1e-3, 1e3), min_size=1, max_size=20),
    st.integers(0, 10_000),
)
def test_largest_remainder_is_exact_and_within_one(weights: dict, total: int) -> None:
    shares = cells.largest_remainder(weights, total)
    whole = sum(weights.values())
    assert sum(shares.values()) == total
    assert all(abs(shares[c] - total * w / whole) < 1 + 1e-6 for c, w in weights.items())
