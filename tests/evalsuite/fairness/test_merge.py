"""Merged groups: ranges of an ordered scale in any notation; what is missing stays apart; nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_helpers import table

from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN
from evalsuite.fairness import merge
from evalsuite.fairness.predictions import Predictions, from_frame, levels

ROMAN = ["I", "II", "III", "IV", "V", "VI"]


def of(groups: list[str], column: str = "fst") -> Predictions:
    frame = table(12).assign(**{column: (groups * 12)[:12]})
    return from_frame(frame, groups=[column])


def merged(groups: list[str], *ranges: str, column: str = "fst") -> list[str]:
    return levels(merge.merge(of(groups, column), {column: ranges}).groups[column])


@pytest.mark.parametrize(
    ("groups", "ranges", "expected"),
    [
        (ROMAN, ("I-II", "III-IV", "V-VI"), ["I-II", "III-IV", "V-VI"]),
        (["1", "2", "3", "4", "5", "6"], ("I-II", "III-IV", "V-VI"), ["I-II", "III-IV", "V-VI"]),
        (["1-2", "3-4", "5-6"], ("1-4", "5-6"), ["1-4", "5-6"]),
        (ROMAN, ("V\u2013VI",), ["I", "II", "III", "IV", "V\u2013VI"]),
        (["monk-01", "monk-05", "monk-10"], ("1-5", "6-10"), ["1-5", "6-10"]),
        (["very_light", "tan", "dark"], ("very_light-tan",), ["very_light-tan", "dark"]),
        (["arm", "back", "leg"], ("arm+leg", "back"), ["arm+leg", "back"]),
        (["5", "30", "71"], ("0-39", "40-99"), ["0-39", "40-99"]),
    ],
)
def test_a_range_holds_the_groups_between_its_ends(
    groups: list[str], ranges: tuple[str, ...], expected: list[str]
) -> None:
    assert merged(groups, *ranges) == expected


def test_what_is_missing_stays_apart() -> None:
    found = merge.merge(of(["I", "II", "unknown", "VI", "-1", "V"]), {"fst": ("I-II", "V-VI")})
    assert levels(found.groups["fst"]) == ["I-II", "V-VI", UNKNOWN]
    name, contrasted = merge.against_others(found, "fst", "V-VI")
    assert set(contrasted.groups[name]) == {"V-VI", merge.ALL_OTHERS, UNKNOWN}
    assert (contrasted.groups[name] == UNKNOWN).sum() == (found.groups["fst"] == UNKNOWN).sum()


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        (("I-II", "II-III"), "both in 'I-II' and in 'II-III'"),
        (("VII-VIII",), "no group of 'fst' is in 'VII-VIII'; it has I, II"),
        (("arm+leg",), "no group of 'fst' is in 'arm+leg'"),
    ],
)
def test_a_range_that_cannot_be_meant_is_refused(ranges: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as caught:
        merged(ROMAN, *ranges)
    assert said in str(caught.value)


def test_a_contrast_with_nobody_is_refused() -> None:
    with pytest.raises(UserError, match="there are no others"):
        merge.against_others(of(ROMAN), "fst", "I-VI")


def test_ranges_name_their_column() -> None:
    columns = ["fst", "age"]
    found = merge.parse(["I-II,III-VI", "age=0-39, 40-99"], columns)
    assert found == {"fst": ("I-II", "III-VI"), "age": ("0-39", "40-99")}
    assert merge.given(["I-II"], columns) == {"fst": ["I-II"]}
    for words, said in ((["sex=f"], "the column 'sex'"), (["I-II", "fst=V-VI"], "'fst' twice")):
        with pytest.raises(UserError, match=said):
            merge.parse(words, columns)
    with pytest.raises(UserError, match="the column 'sex'"):
        merge.given({"sex": ["f"]}, columns)


def test_the_end_of_a_merged_scale_is_the_planned_contrast() -> None:
    assert merge.planned("", ("I-II", "III-IV", "V-VI")) == "V-VI"
    assert merge.planned("", ("I-IV", "V-VI")) == ""
    assert merge.planned("none", ("I-II", "III-IV", "V-VI")) == ""
    assert merge.planned("III-VI", ()) == "III-VI"
    assert merge.planned("", ("arm+leg", "back+chest", "face+ear")) == ""


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.sampled_from([*ROMAN, UNKNOWN]), min_size=12, max_size=12).filter(lambda g: len(set(g)) > 1),
    cut=st.integers(1, 5),
)
def test_merging_moves_no_row_across_a_cut(groups: list[str], cut: int) -> None:
    """Every row of a known type is on its own side of the cut, and the others stay unknown."""
    ranges = (f"I-{ROMAN[cut - 1]}", f"{ROMAN[cut]}-VI")
    found = merge.merge(of(groups), {"fst": ranges}, may_lack=True).groups["fst"].tolist()
    expected = [UNKNOWN if g == UNKNOWN else ranges[int(ROMAN.index(g) >= cut)] for g in groups]
    assert np.array_equal(found, expected)
