"""A table of ratings is used whole, or refused in a line that names the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mrmc_helpers import simulated

from dermforge.common.errors import UserError
from evalsuite.readers.ratings import Reading, from_frame


def table() -> pd.DataFrame:
    return simulated(2, 20).assign(fst="3")


def changed(row: int, column: str, value: Any) -> pd.DataFrame:
    frame = table().astype(object)
    frame.loc[row, column] = value
    return frame


def test_the_order_of_rows_does_not_matter() -> None:
    one = from_frame(table(), Reading(against="alone"))
    other = from_frame(table().sample(frac=1, random_state=1), Reading(against="alone"))
    assert set(one.cases) == set(other.cases)
    order = [list(other.cases).index(name) for name in one.cases]
    readers = [other.readers.index(name) for name in one.readers]
    assert (one.values == other.values[:, readers][..., order]).all()
    assert (one.positive == other.positive[order]).all()


def test_tables_of_other_programs_are_read_as_they_are() -> None:
    """iMRMC has the truth in rows of a reader `truth`; MRMCaov calls the modality a treatment."""
    frame = table().drop(columns="fst")
    truth = frame.drop_duplicates("case").assign(reader="truth", modality="truth", rating=lambda f: f["truth"])
    names = {"reader": "readerID", "case": "caseID", "modality": "modalityID", "rating": "score"}
    theirs = pd.concat([truth, frame]).drop(columns="truth").rename(columns=names)
    one, other = from_frame(frame), from_frame(theirs)
    assert one.modalities == other.modalities
    assert (one.values == other.values).all()
    assert (one.positive == other.positive).all()
    assert (from_frame(frame.rename(columns={"modality": "treatment"})).values == one.values).all()


def test_a_case_without_a_truth_is_refused() -> None:
    frame = table().drop(columns=["fst", "truth"])
    truth = pd.DataFrame({"reader": "truth", "case": [f"c{k}" for k in range(19)], "modality": "truth", "rating": 1})
    with pytest.raises(UserError, match="no truth in 4 rows"):
        from_frame(pd.concat([truth, frame]))


def test_the_modality_to_compare_with_comes_first() -> None:
    assert from_frame(table(), Reading(against="helped")).modalities == ("helped", "alone")
    assert from_frame(table()).modalities == ("alone", "helped")


def test_incomplete_cases_are_left_out_when_asked() -> None:
    frame = table().drop(index=[0, 1]).pipe(lambda f: f.assign(rating=f["rating"].where(f.index != 7)))
    found = from_frame(frame, Reading(drop_incomplete=True))
    assert sorted(found.left_out) == ["c0", "c1", "c7"]
    assert len(found.cases) == 17


def test_a_word_for_positive_and_own_names() -> None:
    frame = table().rename(columns={"reader": "rad"}).assign(truth=lambda f: np.where(f["truth"], "melanoma", "nevus"))
    found = from_frame(frame, Reading({"reader": "rad"}, "melanoma", group="fst"))
    assert found.positive.tolist() == from_frame(table()).positive.tolist()
    assert found.groups is not None
    assert set(found.groups) == {"3"}


@pytest.mark.parametrize(
    ("frame", "reading", "words"),
    [
        (table().drop(index=3), Reading(), "did not rate case 'c3' in modality 'alone'"),
        (pd.concat([table(), table().iloc[[4]]]), Reading(), "rated case 'c4' twice"),
        (changed(5, "rating", "high"), Reading(), "the rating 'high' of reader 'r0' for case 'c5' is no number"),
        (changed(5, "rating", float("inf")), Reading(), "is no number"),
        (changed(5, "truth", 0), Reading(), "two values of truth for one case \\(c5\\)"),
        (changed(5, "fst", "4"), Reading(group="fst"), "two values of group for one case \\(c5\\)"),
        (changed(5, "reader", None), Reading(), "no reader in 1 rows \\(row 6\\)"),
        (table().assign(truth="nevus"), Reading(), "say which word is positive"),
        (table().assign(truth=1), Reading(), "all 20 cases are positive"),
        (table(), Reading(positive="melanoma"), "no truth 'melanoma'; it has 0, 1"),
        (table(), Reading(against="AI"), "no modality 'AI'; it has alone, helped"),
        (table(), Reading(cluster="patient"), "no column patient; it has reader, case"),
        (table().iloc[:0], Reading(), "no rows"),
        (table().assign(rating=None), Reading(drop_incomplete=True), "no case was rated by every reader"),
    ],
)
def test_what_is_wrong_is_named(frame: pd.DataFrame, reading: Reading, words: str) -> None:
    with pytest.raises(UserError, match=words) as found:
        from_frame(frame, reading)
    assert "\n" not in str(found.value)
