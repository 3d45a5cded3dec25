"""The card as data: what is found in it, and how it is written."""

from __future__ import annotations

import math

import pytest

from evalsuite.fairness.card import DEFAULTS, Card, Gap, GroupRow
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.stats.estimate import Estimate

AUROC = MetricKey("auroc", cls="a:b")


def row(column: str, group: str, value: float) -> GroupRow:
    estimate = Estimate(value, value - 0.1, value + 0.1, 50, True, 40, "wilson", note="not written")
    missing = Estimate(math.nan, math.nan, math.nan, 3, False, 10, "delong")
    return GroupRow(column, group, 50, None, {"a:b": 25, "c": 25}, {ACCURACY: estimate, AUROC: missing})


def card() -> Card:
    gap = Gap("fst", ACCURACY, 0.2, 0.1, 0.3, 0.75, "V", 0.6, "I", 0.8, 0.05, 0.1, 0.04, 0.2, ("VI",))
    rows = (row("all", "all", 0.7), row("fst", "I", 0.8), row("fst", "V", 0.6))
    return Card("t.csv", ("a:b", "c"), ("fst",), rows, (gap,), {}, DEFAULTS)


def test_rows_gaps_and_estimates_are_found_by_name() -> None:
    made = card()
    assert [r.group for r in made.of("fst")] == ["I", "V"]
    assert made.row("fst", "V")["accuracy"].value == 0.6
    assert "auroc:a:b" in made.row()
    assert "auroc" not in made.row()
    worst = made.worst("fst")
    assert worst is not None
    assert (worst[0], worst[1].value) == ("V", 0.6)
    assert made.worst("sex") is None
    with pytest.raises(KeyError):
        made.gap("fst", "auroc:a:b")


def test_json_and_tables_name_metrics_as_text() -> None:
    """NaN is null, a class keeps its odd name, and the note of an estimate stays out."""
    written = card().to_dict()
    assert set(written["rows"][0]["metrics"]) == {"accuracy", "auroc:a:b"}
    assert written["rows"][0]["metrics"]["auroc:a:b"]["value"] is None
    assert "note" not in written["rows"][0]["metrics"]["accuracy"]
    assert written["gaps"][0]["metric"] == "accuracy"
    assert written["settings"]["min_count"] == 10
    frame = card().to_frame()
    assert frame[["metric", "class"]].drop_duplicates().to_numpy().tolist() == [["accuracy", ""], ["auroc", "a:b"]]
    assert card().gaps_frame()["left_out"].tolist() == ["VI"]
