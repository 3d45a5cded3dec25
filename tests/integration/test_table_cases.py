"""Tables of predictions on which the fairness suite failed once, where they are there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from evalsuite.fairness import predictions
from evalsuite.fairness.card import Card
from evalsuite.fairness.compare_models import compare
from evalsuite.fairness.comparison import Comparison
from evalsuite.fairness.compute_card import compute_card

SHARED = Path(os.environ.get("DERMFORGE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TABLES = SHARED / "cases" / "tables"
pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason="the tables are not there")


def card(name: str, validation: str = "", cluster: str | None = None) -> Card:
    held_out = predictions.load(TABLES / validation, groups=["fst"]) if validation else None
    return compute_card(predictions.load(TABLES / name, groups=["fst"], cluster=cluster), ["fst"], validation=held_out)


def compared(number: int, metric: str = "accuracy") -> Comparison:
    a, b = (predictions.load(TABLES / f"{number}_{which}.csv", groups=["fst"]) for which in "ab")
    return compare(a, b, ["fst"], metric=metric)


def test_a_group_that_is_lost_whole_is_named() -> None:
    """72: all nine images of VI are wrong in the new model."""
    made = compared(72)
    assert not made.no_group_worse
    assert [c.group for c in made.unjudged] == ["VI"]
    assert "fst VI (n=9, 1.000 -> 0.000)" in made.no_worse_sentence()
    assert made.no_worse_sentence().startswith("Whether a group got worse by more than 0.02 cannot be determined.")
    assert "No group worse" not in made.no_worse_sentence()


def test_one_melanoma_is_no_finding() -> None:
    """73: one melanoma of VI, wrong before and right now."""
    made = compared(73, "sensitivity:melanoma")
    of_vi = made.of("fst")[1]
    assert (of_vi.n, of_vi.enough) == (1, False)
    assert of_vi.low < 0
    assert np.isnan(of_vi.p_holm)
    assert not made.gaps


@pytest.mark.parametrize("metric", ["accuracy", "sensitivity:a", "balanced_accuracy", "macro_f1", "auroc"])
def test_no_change_in_ten_positives_is_no_certainty(metric: str) -> None:
    """71: nothing changed in ten positives a group."""
    made = compared(71, metric)
    assert not any(c.no_worse for c in made.changes)
    assert all(c.low < -0.02 and c.high > 0.02 for c in made.changes)


def test_the_gap_of_two_groups_is_newcombes() -> None:
    """74_min: 0.044 to 0.396; 24_perfect: nothing is wrong, and yet not 0 to 0."""
    gap = card("74_min.csv").gap("fst")
    assert (gap.low, gap.high) == pytest.approx((0.044, 0.396), abs=0.001)
    assert gap.p < 0.05
    assert card("24_perfect.csv", cluster="patient").gap("fst").high > 0.1


def test_a_threshold_that_nothing_fixes_is_no_sensitivity_of_0() -> None:
    """75: class a has too few negatives in the validation table."""
    row = card("75_t.csv", "75_v.csv").row()
    for metric in ("sensitivity@global:a", "sensitivity@global"):
        assert np.isnan(row[metric].value)
        assert not row[metric].enough
    assert row["sensitivity@global:b"].enough


def test_twelve_rows_do_not_hide_a_gap() -> None:
    """76: p 0.006 without twelve rows of another group, 0.473 with them."""
    with_small, without = (card(f"76_{name}.csv").gap("fst") for name in ("small", "without"))
    assert without.p < 0.02
    assert with_small.p < 0.02


def test_a_binary_brier_score_is_scikit_learns() -> None:
    from sklearn.metrics import brier_score_loss

    table = predictions.load(TABLES / "70_test.csv", groups=["fst"])
    expected = brier_score_loss(table.labels, table.probs[:, 1])
    assert card("70_test.csv").row()["brier"].value == pytest.approx(expected)
