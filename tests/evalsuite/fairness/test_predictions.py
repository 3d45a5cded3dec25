"""Bad tables are refused in one line that names what is wrong and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from predictions_helpers import table

from dermforge.common.errors import UserError
from evalsuite.fairness import predictions
from evalsuite.fairness.predictions import from_frame, levels, load


def edit(column: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


BAD = {
    "missing label column": (lambda f: f.drop(columns="label"), "missing column label"),
    "missing group column": (lambda f: f.drop(columns="fst"), "missing column fst"),
    "missing cluster column": (lambda f: f.drop(columns="patient"), "missing column patient"),
    "one probability column": (lambda f: f.drop(columns="prob_b"), "at least two"),
    "sum": (edit("prob_a", 4, 0.9), "sum to 1.65 instead of 1 in 1 rows (ids i4)"),
    "unknown label": (edit("label", 3, "z"), "unknown label z (ids i3)"),
    "single class": (lambda f: f.assign(label="a"), "a single class, 'a'"),
    "empty label": (edit("label", 5, "NA"), "label is empty in 1 rows (ids i5)"),
    "NaN": (edit("prob_b", 2, np.nan), "NaN"),
    "infinity": (edit("prob_b", 2, np.inf), "infinity"),
    "text": (edit("prob_b", 2, "high"), "text among the probabilities"),
    "negative": (edit("prob_b", 2, -0.1), "outside 0 to 1"),
    "repeated id": (edit("id", 2, "i1"), "repeated ids i1"),
    "empty id": (edit("id", 2, ""), "id is empty"),
    "no rows": (lambda f: f.iloc[:0], "no rows"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_refused_with_what_and_where(name: str) -> None:
    """Each kind of bad input of the card: one line."""
    change, expected = BAD[name]
    with pytest.raises(UserError) as found:
        from_frame(change(table()), groups=["fst"], cluster="patient")
    assert expected in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_survives_being_written_and_read(tmp_path: Path, suffix: str) -> None:
    """CSV and parquet give the same table, names as text."""
    first = from_frame(table(), groups=["fst"], cluster="patient")
    first.save(tmp_path / f"t{suffix}")
    again = load(tmp_path / f"t{suffix}", groups=["fst"])
    assert again.ids.tolist() == first.ids.tolist()
    assert np.allclose(again.probs, first.probs, atol=1e-12)
    assert again.groups["fst"].tolist() == first.groups["fst"].tolist()
    assert again.clusters is not None
    assert again.clusters.tolist() == table()["patient"].tolist()


def test_whole_numbers_stay_names(tmp_path: Path) -> None:
    """A skin type that pandas made 3.0 reads 3."""
    frame = table().assign(fst=[1.0, 2.0, 3.0] * 4)
    assert set(from_frame(frame, groups=["fst"]).groups["fst"]) == {"1", "2", "3"}


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b'id,label\n"1'])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Garbage is a user's mistake, not a traceback."""
    for suffix in (".csv", ".parquet"):
        path = tmp_path / f"t{suffix}"
        path.write_bytes(content)
        with pytest.raises(UserError):
            load(path)
    with pytest.raises(UserError, match="no file"):
        load(tmp_path / "absent.csv")


def test_groups_keep_their_natural_order() -> None:
    """Light to dark, Roman, numbers, then the alphabet."""
    assert levels(["dark", "very_light", "tan"]) == ["very_light", "tan", "dark"]
    assert levels(["VI", "I", "IV"]) == ["I", "IV", "VI"]
    assert levels(["10", "9"]) == ["9", "10"]
    assert levels(["m", "f"]) == ["f", "m"]
    assert predictions.some(range(7), 5).endswith("and 2 more")
    assert levels(["unknown", "10", "9"]) == ["9", "10", "unknown"]


@pytest.mark.parametrize("word", ["", "NA", "n/a", "Unknown", "NONE_SELECTED", np.nan])
def test_missing_groups_are_one_and_missing_patients_stand_alone(word: str | float) -> None:
    frame = table().assign(fst=[word, "NaN", "1", "2"] * 3, patient=[word, "p1", "p1", "?"] * 3)
    found = from_frame(frame, groups=["fst"], cluster="patient")
    assert found.groups["fst"].tolist() == ["unknown", "unknown", "1", "2"] * 3
    assert found.clusters is not None
    assert len(set(found.clusters)) == 1 + 6


def test_minus_one_is_a_missing_skin_type_only() -> None:
    found = from_frame(table().assign(fst=[-1, 1, 2] * 4, site=[-1, 1, 2] * 4), groups=["fst", "site"])
    assert set(found.groups["fst"]) == {"unknown", "1", "2"}
    assert set(found.groups["site"]) == {"-1", "1", "2"}


def test_a_class_may_be_called_unknown() -> None:
    frame = table()
    frame = frame.rename(columns={"prob_a": "prob_UNK"}).assign(label=frame["label"].replace("a", "UNK"))
    assert "UNK" in from_frame(frame, groups=["fst"]).classes
