"""Skin types in any notation become one; what is no skin type stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.ingest.tables.skin_types import changes, mapping


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
