"""Gaps are fairlearn's, and chance shows as large ones as it should."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn import metrics as fl

from evalsuite import selfcheck
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import Predictions


def planted() -> Predictions:
    """Three groups of three classes, one of them worse."""
    return selfcheck.table([selfcheck.Group(name, 120, 0.6 if name == "b" else 0.8) for name in "abc"], 0)


def test_parity_is_fairlearns() -> None:
    """Demographic parity, equal opportunity and equalised odds of each class, difference and ratio, to 1e-9."""
    own = planted()
    card = compute_card(own, ["fst"], CardSettings())
    call = own.probs.argmax(axis=1)
    for index, cls in enumerate(own.classes):
        for name, difference, ratio in (
            ("demographic_parity", fl.demographic_parity_difference, fl.demographic_parity_ratio),
            ("equal_opportunity", fl.equal_opportunity_difference, fl.equal_opportunity_ratio),
            ("equalised_odds", fl.equalized_odds_difference, fl.equalized_odds_ratio),
        ):
            gap = card.gap("fst", f"{name}:{cls}")
            given = {
                "y_true": own.labels == index,
                "y_pred": call == index,
                "sensitive_features": own.groups["fst"].to_numpy(),
            }
            assert gap.difference == pytest.approx(difference(**given), abs=1e-9)
            assert gap.ratio == pytest.approx(ratio(**given), abs=1e-9)


def test_gap_is_fairlearns_metric_frame() -> None:
    """Max - min and min / max of the accuracy as MetricFrame gives them."""
    own = planted()
    card = compute_card(own, ["fst"], CardSettings())
    frame = fl.MetricFrame(
        metrics=lambda y_true, y_pred: float(np.mean(np.asarray(y_true) == np.asarray(y_pred))),
        y_true=own.labels,
        y_pred=own.probs.argmax(axis=1),
        sensitive_features=own.groups["fst"].to_numpy(),
    )
    gap = card.gap("fst")
    assert gap.difference == pytest.approx(frame.difference(), abs=1e-9)
    assert gap.ratio == pytest.approx(frame.ratio(), abs=1e-9)
    assert gap.worst_value == pytest.approx(frame.group_min(), abs=1e-9)


def test_null_gap_matches_the_measured_anchor() -> None:
    """Equal accuracy 0.70 in six groups of 589, 962, 662, 556, 307, 127: chance alone shows 0.062, up to 0.108."""
    sizes = (589, 962, 662, 556, 307, 127)
    own = selfcheck.table([selfcheck.Group(str(i), n, 0.70) for i, n in enumerate(sizes)], 0)
    gap = compute_card(own, ["fst"], CardSettings(intersections=False)).gap("fst")
    assert gap.null_mean == pytest.approx(0.062, abs=0.006)
    assert gap.null_p95 == pytest.approx(0.108, abs=0.014)


def test_rows_of_unknown_group_are_shown_and_not_compared() -> None:
    """The worst group of three, once it is unknown, is no end of any gap."""
    own = planted()
    named = own.with_group("fst", ["unknown" if g == "b" else g for g in own.groups["fst"]])
    card = compute_card(named, ["fst"], CardSettings())
    assert [row.group for row in card.rows if row.column == "fst"] == ["a", "c", "unknown"]
    assert card.gaps
    for gap in card.gaps:
        assert "unknown" not in (gap.worst, gap.best)
        assert "unknown" in gap.left_out
