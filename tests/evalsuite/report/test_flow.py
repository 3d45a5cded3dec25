"""The flow of rows adds up, and rows without a skin type are shown beside the others."""

from __future__ import annotations

from planted_tables import dermatology

from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.fairness.question import Question
from evalsuite.page.blocks import Table
from evalsuite.report import flow


def planted() -> Predictions:
    """100 rows without a skin type, five without a patient, and VI with hardly a melanoma."""
    frame = dermatology(6, n=900)
    frame = frame[~((frame.fst == "VI") & (frame.label == "melanoma"))].reset_index(drop=True)
    frame.loc[:99, "fst"] = None
    frame.loc[:4, "patient"] = ""
    return from_frame(frame, groups=["fst"], cluster="patient")


def test_every_row_is_in_one_place() -> None:
    test = planted()
    card = compute_card(test, ["fst"], question=Question(("melanoma",)))
    said, table, missing = flow.flow_blocks(card, test)
    assert isinstance(said, str)
    assert f"{test.n} rows were read" in said
    assert "5 rows have none and count by themselves" in said
    assert isinstance(table, Table)
    row = dict(zip(table.head, table.rows[0], strict=True))
    few = str(row["in groups without enough data"])
    assert few.endswith("(VI)")
    parts = [int(str(row["group missing"])), int(few.split(" ")[0]), int(str(row["compared"]))]
    assert sum(parts) == int(str(row["rows"])) == test.n
    assert parts[0] == 100
    assert isinstance(missing, Table)
    assert [r[0] for r in missing.rows] == ["fst missing", "all"]


def test_a_table_without_patients_says_so() -> None:
    test = from_frame(dermatology(6, n=300), groups=["fst"])
    assert "no patient or duplicate family was named" in str(flow.flow_blocks(compute_card(test, ["fst"]), test)[0])
