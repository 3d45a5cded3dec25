"""One group is one group, however it is written; what a table has and nobody uses is said."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from predictions_helpers import table

from dermforge.common.errors import DataWarning
from dermforge.common.missing import UNKNOWN, WORDS
from evalsuite.fairness.group_columns import as_written, group_words
from evalsuite.fairness.predictions import Predictions, from_frame, levels

ROMAN = ("I", "II", "III", "IV", "V", "VI")
#: Ways to write a skin type.
WAYS: st.SearchStrategy[Callable[[int], str]] = st.sampled_from(
    [str, lambda n: ROMAN[n - 1], lambda n: ROMAN[n - 1].lower(), lambda n: f"FST {n}"]
)


def words(values: list[object], name: str = "fst") -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return list(map(str, group_words(pd.Series(values, name=name, dtype=object), "t")))


@given(types=st.lists(st.integers(1, 6), min_size=1, max_size=30), data=st.data())
def test_a_skin_type_is_one_group_in_any_writing(types: list[int], data: st.DataObject) -> None:
    found = words([data.draw(WAYS)(n) for n in types])
    assert len(set(found)) == len(set(types))
    for a, b in zip(zip(types, found, strict=True), list(zip(types, found, strict=True))[1:], strict=False):
        assert (a[0] == b[0]) == (a[1] == b[1])


@given(types=st.lists(st.integers(1, 6), min_size=1, max_size=30), way=WAYS)
def test_words_of_one_writing_stay(types: list[int], way: Callable[[int], str]) -> None:
    written = [way(n) for n in types]
    assert words(list(written)) == written


@given(st.sampled_from(sorted(WORDS)) | st.sampled_from([None, float("nan"), "-1", -1, -1.0, "Not Reported"]))
def test_what_is_missing_is_never_a_group_of_its_own(word: object) -> None:
    assert words(["1", word, "I"]) == ["1", UNKNOWN, "1"]


def test_what_became_of_the_words_is_said() -> None:
    with pytest.warns(DataWarning, match=r"t: fst is written in two ways, and now in one: I is 1 \(2\), VI is 6 \(1\)"):
        group_words(pd.Series(["I", "1", "VI", "I"], name="fst"), "t")


def test_any_column_of_numbers_in_two_writings_is_one() -> None:
    assert words(["I", "1", "III"], "stage") == ["1", "1", "3"]
    assert words(["I", "1", "x"], "stage") == ["I", "1", "x"]  # who knows what these are
    assert words(["I", "1", "x"], "skin_type") == ["1", "1", "x"]


def test_words_that_differ_in_case_are_two_groups_and_said() -> None:
    with pytest.warns(DataWarning, match="'Male' and 'male' in sex are taken for two groups"):
        assert set(group_words(pd.Series(["male", "Male", "f"], name="sex"), "t")) == {"male", "Male", "f"}


@given(types=st.lists(st.integers(1, 6), min_size=1, max_size=20), here=WAYS, there=WAYS)
def test_a_second_table_takes_the_words_of_the_first(
    types: list[int], here: Callable[[int], str], there: Callable[[int], str]
) -> None:
    """Thresholds of VI from the validation set are those of 6 in the test set."""
    found = as_written(np.array([here(n) for n in types]), [there(n) for n in range(1, 7)], "fst")
    assert found.tolist() == [there(n) for n in types]


def test_a_table_is_written_like_another() -> None:
    """Classes in another order are the same classes: each row keeps its label and its probabilities."""
    one = from_frame(table(), groups=["fst"])
    frame = table()[["prob_b", "fst", "id", "prob_a", "label"]].assign(fst=["I", "II", "III"] * 4)
    other = from_frame(frame, groups=["fst"])
    assert other.classes == ("b", "a")
    alike = other.written_like(one)
    assert alike.classes == one.classes
    assert (alike.labels == one.labels).all()
    assert (alike.probs == one.probs).all()
    assert (alike.groups == one.groups).all(axis=None)
    assert levels(alike.groups["fst"]) == ["1", "2", "3"]


def test_classes_of_another_problem_stay_as_they_are() -> None:
    one = from_frame(table(), groups=["fst"])
    other = from_frame(table().rename(columns={"prob_b": "prob_z"}).replace({"label": {"b": "z"}}), groups=[])
    assert other.written_like(one).classes == ("a", "z")


@pytest.mark.parametrize("name", ["weight", "Sample Weight", "survey_weight"])
def test_a_weight_that_is_not_used_is_said(name: str) -> None:
    with pytest.warns(DataWarning, match=f"column '{name}' is not used as a weight; every row counts alike"):
        found = from_frame(table().assign(**{name: 2.0}))
    assert name not in found.groups
    assert found.weights is None


def test_a_weight_that_is_asked_for_is_read_and_kept_with_its_row() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found: Predictions = from_frame(table().assign(weight=np.arange(1.0, 13)), groups=["fst"], weight="weight")
    assert found.weights is not None
    part = found.take(found.labels == 1).weights
    assert part is not None
    assert part.tolist() == [2, 4, 6, 8, 10, 12]
