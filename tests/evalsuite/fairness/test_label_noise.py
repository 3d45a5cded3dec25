"""A conclusion that hangs on one rater is marked."""

from __future__ import annotations

import numpy as np
import pytest

from dermforge.common.errors import UserError
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


def test_images_without_a_rating_agree_with_nothing() -> None:
    """Half of the images have no skin type: the raters agree in all that both rated, and in no others."""
    own = selfcheck.table([Group("I", 200, 0.9), Group("II", 200, 0.6)], 0)
    groups = own.groups["fst"].to_numpy(object).copy()
    groups[::2] = "unknown"
    other = groups.copy()
    other[1::8] = np.where(other[1::8] == "I", "II", "I")  # a quarter of those that have one
    table = own.with_group("fst", groups).with_group("fst_b", other)
    found = label_noise.check(table, ["fst", "fst_b"], CardSettings(), n_relabel=5)
    assert found.agreement == 0.75
    assert [s.n for s in found.scenarios if s.name == "both agree"] == [150]


def test_labels_that_leave_no_two_groups_are_refused() -> None:
    """Eleven images at each end of a scale: nearly all move to the middle, and nothing is left to compare."""
    own = selfcheck.table([Group("I", 11, 0.9), Group("II", 3, 0.9), Group("III", 11, 0.6)], 0)
    with pytest.raises(UserError, match="one step aside, fewer than two groups of 'fst' have enough data"):
        label_noise.check(own, ["fst"], CardSettings(), noise=0.95, n_relabel=5)


def test_the_check_has_the_confidence_of_the_card() -> None:
    own = selfcheck.table([Group("I", 200, 0.9), Group("II", 200, 0.6)], 0)
    table = own.with_group("fst_b", own.groups["fst"].tolist())
    few, many = (
        label_noise.check(table, ["fst", "fst_b"], CardSettings(confidence=level), n_relabel=5).corrected
        for level in (0.5, 0.95)
    )
    assert few is not None
    assert many is not None
    assert few.high - few.low < many.high - many.low
