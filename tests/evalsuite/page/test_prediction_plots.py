"""Of many groups the plots show the worst, and say so."""

from __future__ import annotations

import math
import re

import pytest

from evalsuite import selfcheck
from evalsuite.fairness.predictions import Predictions
from evalsuite.page import decision_plots, prediction_plots
from evalsuite.selfcheck import Group

BAD = [f"bad{i}" for i in range(4)]


@pytest.fixture(scope="module")
def many() -> Predictions:
    """Thirty groups; four are seldom right and sure of it, and ten are too small to be judged."""
    good = [Group(f"good{i:02d}", 120, 0.9) for i in range(16)]
    return selfcheck.table(
        [*good, *(Group(n, 120, 0.4, 0.2) for n in BAD), *(Group(f"few{i}", 8, 0.9) for i in range(10))], 0
    )


def titles(svg: str) -> str:
    return " ".join(re.findall(r"<title>(.*?)</title>", svg, re.S))


@pytest.mark.parametrize("kind", ["reliability", "roc", "decision"])
def test_the_worst_ten_of_many_groups_are_drawn(many: Predictions, kind: str) -> None:
    drawn = {
        "reliability": lambda: prediction_plots.reliability(many, "fst"),
        "roc": lambda: prediction_plots.roc(many, "fst", n_boot=5),
        "decision": lambda: decision_plots.decision_curves(many, many.classes[0], "fst"),
    }[kind]()
    assert "the worst 10 of 30, in part by chance" in titles(drawn)
    assert all(name in drawn for name in BAD)
    assert len(set(re.findall(r"good\d\d", drawn))) == 6
    assert "few" not in drawn.replace("fewer", "")


def test_few_groups_are_all_drawn_in_their_order(many: Predictions) -> None:
    """Also those that are too small: they say so."""
    kept = many.take(many.groups["fst"].isin(["few0", *BAD, "good00"]).to_numpy())
    names, masks, words = prediction_plots.worst(kept, "fst", lambda own: math.nan)
    assert (set(names), words) == ({"few0", *BAD, "good00"}, "")
    assert sum(mask.sum() for mask in masks) == kept.n
    assert "few0" in prediction_plots.reliability(kept, "fst")
