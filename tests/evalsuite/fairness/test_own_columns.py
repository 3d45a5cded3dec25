"""Tables of other classifiers, by what their columns are called."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dermforge.common.errors import UserError
from evalsuite.fairness.own_columns import OwnColumns
from evalsuite.fairness.predictions import from_frame, load

TABLE = pd.DataFrame(
    {
        "image": ["i1", "i2", "i3", "i4"],
        "truth": [0, 1, 1, 0],
        "p0": [0.9, 0.2, 0.4, 0.7],
        "p1": [0.1, 0.8, 0.6, 0.3],
        "fst": ["I", "VI", "I", "VI"],
    }
)


def renamed(columns: OwnColumns, frame: pd.DataFrame = TABLE) -> pd.DataFrame:
    return from_frame(columns.rename(frame, "mine.csv"), groups=["fst"]).to_frame()


def test_columns_by_name_give_the_table_that_is_expected() -> None:
    expected = TABLE.set_axis(["id", "label", "prob_0", "prob_1", "fst"], axis=1).astype({"label": str})
    pd.testing.assert_frame_equal(
        renamed(OwnColumns("image", "truth", ("0=p0", "1 = p1"))), expected, check_dtype=False
    )


def test_one_column_of_two_classes_gives_the_other() -> None:
    whole = renamed(OwnColumns("image", "truth", ("0=p0", "1=p1")))
    half = renamed(OwnColumns("image", "truth", ("1=p1",)), TABLE.drop(columns="p0"))
    pd.testing.assert_frame_equal(whole, half[whole.columns])


def test_columns_called_as_their_classes_need_no_sign(tmp_path: Path) -> None:
    frame = TABLE.assign(truth=["mel", "nv", "nv", "mel"]).rename(columns={"p0": "mel", "p1": "prob_nv"})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    assert load(tmp_path / "mine.csv", columns=OwnColumns("image", "truth", ("mel", "prob_nv"))).classes == (
        "mel",
        "nv",
    )


def test_other_columns_with_these_names_do_not_count() -> None:
    """Such as a row number called id, or the probabilities of another model."""
    frame = TABLE.assign(id=range(4), label="x", prob_9=0.5)
    found = renamed(OwnColumns("image", "truth", ("0=p0", "1=p1")), frame)
    assert found["id"].tolist() == TABLE["image"].tolist()
    assert list(found.columns) == ["id", "label", "prob_0", "prob_1", "fst"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (OwnColumns("image", "class"), "missing column class; it has image, truth"),
        (OwnColumns("image", "truth", ("0=p0", "1=p0")), "cannot be two of"),
        (OwnColumns("image", "image"), "cannot be two of"),
        (OwnColumns("image", "truth", ("0=p0", "0=p1")), "two columns for one class"),
        (OwnColumns("image", "truth", ("p1",)), "of 'p1', and labels 0, 1; .*CLASS=COLUMN"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(columns: OwnColumns, said: str) -> None:
    with pytest.raises(UserError, match=said) as found:
        columns.rename(TABLE, "mine.csv")
    assert "\n" not in str(found.value)
