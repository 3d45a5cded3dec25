"""A conclusion that hangs on one rater is marked."""

from __future__ import annotations

import numpy as np

from evalsuite import selfcheck
from evalsuite.fairness import label_noise
from evalsuite.fairness.card import CardSettings
from evalsuite.selfcheck import Group


def test_rater_noise_marks_conclusions_that_change() -> None:
    """A large gap stands under a near rater and one step aside; a rater at random takes it away, and is marked."""
    own = selfcheck.table([Group("I", 400, 0.9), Group("II", 400, 0.9), Group("III", 400, 0.6)], 0)
    rng = np.random.default_rng(0)
    near = np.where(rng.random(own.n) < 0.03, "II", own.groups["fst"].to_numpy())
    found = label_noise.check(own.with_group("fst_b", near), ["fst", "fst_b"], CardSettings(), n_relabel=50)
    assert found.holds
    assert {s.conclusion for s in found.scenarios} == {"the conclusion holds"}
    assert [s.name for s in found.scenarios][:3] == ["rater A", "rater B", "both agree"]
    chance = rng.choice(["I", "II", "III"], own.n)
    found = label_noise.check(
        own.with_group("fst_b", chance), ["fst", "fst_b"], CardSettings(), n_relabel=50, noise=0.05
    )
    assert not found.holds
    assert found.scenarios[1].conclusion == "the conclusion CHANGES"


def test_where_nothing_was_determined_no_conclusion_holds() -> None:
    """Two groups without a difference: labels of another rater confirm nothing."""
    own = selfcheck.table([Group("I", 60, 0.8), Group("II", 60, 0.8)], 0)
    found = label_noise.check(
        own.with_group("fst_b", own.groups["fst"].tolist()), ["fst", "fst_b"], CardSettings(), n_relabel=5
    )
    assert not any(s.beyond_chance for s in found.scenarios)
    assert {s.conclusion for s in found.scenarios if not s.changed} == {"cannot be determined here either"}
