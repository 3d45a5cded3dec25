"""Saturation is said where a relevant gain is excluded, and not where none was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsuite.study import dose


def gains(scores: np.ndarray, sd: float) -> list[tuple[float, float, float]]:
    """Steps of a curve whose points have an independent error each."""
    half = 1.96 * sd * math.sqrt(2)
    return [(g, g - half, g + half) for g in np.diff(scores).tolist()]


def test_saturation_is_the_first_dose_from_which_no_step_gains() -> None:
    """Gains up to 10:1 and none beyond, as Sagers 2023 reports."""
    scores = np.array([0.5, 0.56, 0.62, 0.68, 0.68, 0.68])
    found = dose.saturation([0, 2, 5, 10, 20, 50], gains(scores, 0.004))
    assert (found.ratio, found.status) == (10, "reached")
    assert found.steps[1].gain == pytest.approx(0.06 / math.log2(2.5))
    assert found.text() == "10:1: from 10:1 to 20:1 a doubling adds +0.0 points (-1.1 to +1.1), less than 2"


def test_not_to_have_seen_a_gain_is_no_saturation() -> None:
    """The interval reaches from a loss to 15 points: 300 test images cannot tell."""
    found = dose.saturation([0, 10, 20], [(0.08, -0.01, 0.17), (0.06, -0.03, 0.15)])
    assert math.isnan(found.ratio)
    assert found.text() == "cannot be determined: from 10:1 to 20:1 a doubling adds +6.0 points (-3.0 to +15.0)"
    assert not found.is_determined


def test_what_is_not_reached_not_gained_and_not_clear_are_told_apart() -> None:
    rising, level, leap = np.array([0.5, 0.6, 0.7]), np.array([0.5, 0.5, 0.5]), np.array([0.5, 0.51, 0.51])
    status = [dose.saturation([0, 1, 2], gains(of, 0.003)).status for of in (rising, level)]
    assert status == ["not reached", "nothing gained"]
    wide, narrow = gains(leap, 0.01)[0], gains(leap, 0.003)[1]
    assert dose.saturation([0, 1, 2], [wide, narrow]).status == "by then"
    assert dose.saturation([0], []).status == "cannot be determined"


def test_doublings_that_are_flat_one_by_one_add_up() -> None:
    """A point and a half for each of six doses is nine points: something is gained, and the text says how much."""
    ratios, scores = [0, 1, 2, 4, 8, 16, 32], 0.5 + 0.015 * np.arange(7)
    steps, in_all = gains(scores, 0.001), [(s, s - 0.003, s + 0.003) for s in (scores[1:] - 0.5).tolist()]
    assert dose.saturation(ratios, steps).status == "nothing gained"  # by steps alone
    found = dose.saturation(ratios, steps, in_all=in_all)
    assert (found.status, found.ratio) == ("reached", 1)
    assert found.text().endswith("from 1:1 to 2:1 a doubling adds +1.5 points (+1.2 to +1.8), less than 2")
    line = dose.saturation(ratios, steps, tails=[(0.015, 0.012, 0.018)] * 6, in_all=in_all)
    assert line.text() == (
        "1:1: from 1:1 to 32:1 a doubling adds +1.5 points (+1.2 to +1.8), less than 2, and +7.5 in all"
    )


@given(st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(0.001, 0.3)), min_size=1, max_size=6))
def test_nothing_is_gained_only_where_every_dose_excludes_a_gain(in_all: list[tuple[float, float]]) -> None:
    whole = [(value, value - half, value + half) for value, half in in_all]
    flat = [(0.0, -0.001, 0.001)] * len(whole)
    ratios = [0.0, *(2.0**k for k in range(len(whole)))]
    found = dose.saturation(ratios, flat, in_all=whole)
    assert (found.status == "nothing gained") == all(high < found.margin for _, _, high in whole)
    if found.status == "nothing gained":
        assert found.tail is not None
        assert (found.tail.gain, found.tail.low, found.tail.high) == whole[-1]


@given(
    steps=st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(0.001, 0.3)), min_size=1, max_size=6),
    margin=st.floats(0.005, 0.05),
)
def test_saturation_is_named_only_where_each_later_interval_lies_below_the_margin(
    steps: list[tuple[float, float]], margin: float
) -> None:
    ratios = [0.0, *(2.0**k for k in range(len(steps)))]
    found = dose.saturation(ratios, [(g, g - half, g + half) for g, half in steps], margin)
    later = [s for s in found.steps if s.start >= found.ratio]
    assert math.isnan(found.ratio) == (not later)
    assert all(s.high < margin for s in later)
    if later:
        before = [s for s in found.steps if s.end == found.ratio]
        assert not before or before[0].high >= margin
        assert (found.status == "nothing gained") == (found.ratio == 0)
    else:
        assert (found.status == "not reached") == (found.steps[-1].low > 0)
