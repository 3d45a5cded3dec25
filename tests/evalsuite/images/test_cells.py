"""Every image is in one cell of each kind, and shares count families."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.cells import CELLS, parts_of, share_table

FRAME = pd.DataFrame(
    {
        "id": ["1", "2", "3", "4"],
        "class": ["b", "a", "a", "a"],
        "group": [None, "light", "dark", "dark"],
        "strategy": ["s"] * 4,
        "parent": [None, "p", "p", None],
        "hit": [True, True, True, False],
    }
)


@pytest.mark.parametrize("kind", CELLS)
def test_the_cells_of_a_kind_hold_every_image_once(kind: str) -> None:
    parts = list(parts_of(FRAME, CELLS[kind]))
    assert sorted(id for _, part in parts for id in part["id"]) == ["1", "2", "3", "4"]


def test_an_unknown_skin_type_is_a_cell_of_its_own() -> None:
    names = [name for name, _ in parts_of(FRAME, CELLS["class x group"])]
    assert names == ["a x light", "a x dark", "b x unknown"]


@given(st.sets(st.sampled_from([*TONE_GROUPS, "unknown"]), min_size=1))
def test_skin_types_run_from_light_to_dark(groups: set[str]) -> None:
    """As a reader of a gradient expects; letters would put the darkest in the middle."""
    found = [name for name, _ in parts_of(pd.DataFrame({"group": sorted(groups)}), ("group",))]
    assert found == [name for name in (*TONE_GROUPS, "unknown") if name in groups]


def test_rows_without_a_strategy_are_in_no_cell_of_strategies() -> None:
    assert list(parts_of(FRAME.assign(strategy=None), ("strategy",))) == []


def test_shares_have_intervals_over_families() -> None:
    table: Any = share_table(FRAME, "hit", "hits").set_index(["family", "cell"])
    assert table.loc[("overall", "all"), ["n", "hits", "rate"]].tolist() == [4, 3, 0.75]
    alone = share_table(FRAME.assign(parent=None), "hit", "hits").iloc[0]
    whole = table.loc[("overall", "all")]
    assert whole["high"] - whole["low"] > alone["high"] - alone["low"]
