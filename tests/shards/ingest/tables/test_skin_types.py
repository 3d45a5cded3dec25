"""Skin types in any notation become one; what is no skin type stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.ingest.tables.skin_types import Notation, changes, is_skin_type, mapping


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((roman, str(i)) for i, roman in enumerate(("I", "II", "III", "IV", "V", "VI"), 1)),
        ("3", "3"),
        ("3.0", "3"),
        ("FST3", "3"),
        ("fst_4", "4"),
        ("Type IV", "4"),
        ("Fitzpatrick 6", "6"),
        ("ii medium white", "2"),
        ("III-IV", "3-4"),
        ("5/6", "5-6"),
        ("FST 1-2", "1-2"),
        ("very_light", "very_light"),
        ("vitiligo", "vitiligo"),
        ("2 - burns easily, tans minimally", "2"),
        ("IV: olive (moderate brown)", "4"),
        ("I don't know", "I don't know"),
        ("type 2 diabetes", "type 2 diabetes"),
        ("1 lesion", "1 lesion"),
        ("5 years", "5 years"),
    ],
)
def test_one_notation(value: str, expected: str) -> None:
    assert mapping([value, "2"])[value] == expected


def test_pairs_are_told_from_all_values_together() -> None:
    assert mapping(["12", "34", "56"]) == {"12": "1-2", "34": "3-4", "56": "5-6"}
    assert mapping(["12", "1"])["12"] == "12"


def test_monk_is_a_scale_of_its_own() -> None:
    assert mapping(["1", "10"]) == {"1": "monk-01", "10": "monk-10"}
    assert mapping(["2", "3"], column="monk_skin_tone_label_us") == {"2": "monk-02", "3": "monk-03"}
    assert mapping(["MST 4"]) == {"MST 4": "monk-04"}
    assert mapping(["0", "10"]) == {"0": "0", "10": "10"}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("diabetes", ["type 1 diabetes", "type 2 diabetes", "none"]),
        ("diabetes", ["type 1", "type 2"]),
        ("stage", ["I", "IIb", "IV"]),
        ("age", ["34", "56", "47"]),
        ("group", ["34", "56"]),
        ("site", ["1", "8"]),
        ("group", ["class I", "class II"]),
    ],
)
def test_a_column_of_something_else_stays_as_it_is(column: str, values: list[str]) -> None:
    assert mapping(values, column=column) == {value: value for value in values}


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("group", ["I", "III-IV", "6"], ["1", "3-4", "6"]),  # each is wholly a type
        ("group", ["FST 2", "Monkeypox"], ["2", "Monkeypox"]),  # one names the scale
        ("cohort", ["12", "34", "56"], ["1-2", "3-4", "5-6"]),
    ],
)
def test_skin_types_in_a_column_of_any_name(column: str, values: list[str], expected: list[str]) -> None:
    assert mapping(values, column=column) == dict(zip(values, expected, strict=True))


def test_columns_of_skin_types_are_known_by_their_names() -> None:
    for name in (
        "fst",
        "Fitzpatrick Skin Type",
        "fitspatrick",
        "skin_tone",
        "Phototype",
        "monk_scale_us",
        "MST",
        "tone",
    ):
        assert is_skin_type(name)
    for name in ("group", "diabetes", "skin_cancer_history", "stage", "keystone_id", "age"):
        assert not is_skin_type(name)


def test_a_scale_is_told_from_all_files_together() -> None:
    """One tar holds the pair 12 only, another 34: they are pairs, not types."""
    notation = Notation({("fst", "12"): 2, ("fst", "34"): 1, ("mst", "4"): 1})
    assert (notation.of("fst", "12"), notation.of("mst", "4"), notation.of("x", "12")) == ("1-2", "monk-04", "12")
    assert notation.notes("a.tar") == [
        "skin types of a.tar, column fst: 12 is 1-2 (2), 34 is 3-4 (1)",
        "skin types of a.tar, column mst: 4 is monk-04 (1)",
    ]


def test_milk_is_reversed() -> None:
    assert mapping([str(n) for n in range(7)], "milk10k") == {**{str(n): str(6 - n) for n in range(6)}, "6": "6"}


def test_what_changed_is_said() -> None:
    assert changes({"II": 3, "1": 2}, mapping(["II", "1"])) == "II is 2 (3)"


@given(st.lists(st.text(max_size=12), unique=True))
def test_every_value_has_one_and_the_notation_stays(values: list[str]) -> None:
    names = mapping(values)
    assert set(names) == set(values)
    plain = mapping([n for n in names.values() if n in {"1", "2", "3", "4", "5", "6", "1-2", "3-4"}])
    assert all(old == new for old, new in plain.items())
