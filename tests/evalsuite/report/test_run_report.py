"""What the page of a run says of the groups."""

from __future__ import annotations

from evalsuite.report.run_report import who_moved
from evalsuite.stats.verdict import Verdict
from evalsuite.study.arm_scores import ALL
from evalsuite.study.gains import Gain


def gain(group: str, value: float, verdict: Verdict) -> Gain:
    return Gain(group, None, 0, 3.0, 200, value, value - 0.01, value + 0.01, 0.01, 0.05, verdict)


def told(*gains: Gain, **lacking: str) -> str:
    return " ".join(who_moved([gain(ALL, 0.0, "cannot be determined"), *gains], lacking, 0.02))


def test_who_gained_is_said_only_where_it_stands_among_all_groups() -> None:
    """An interval that leaves out 0 is not enough: one of six groups does so by chance more often than 1 time in 20."""
    by_chance, sure = gain("II", 0.06, "cannot be determined"), gain("V", 0.11, "helps")
    worse = gain("I", -0.2, "hurts")
    assert "Gained beyond chance (Holm): V." in told(by_chance, sure)
    assert "Lost beyond chance (Holm): I." in told(by_chance, worse)
    assert "No single skin type gained or lost beyond chance." in told(by_chance)


def test_none_got_worse_is_not_said_where_one_was_not_judged() -> None:
    """A whole group may be lost among those with too few images."""
    fine, few = gain("II", 0.06, "helps"), gain("VI", 0.06, "not enough data")
    assert "by more than 2 points: shown for each of them." in told(fine)
    words = told(fine, few, VI="9 test images, at least 10 are needed")
    assert "by more than 2 points: not shown." in words
    assert "Not enough data for VI: 9 test images, at least 10 are needed." in words
    assert "not shown" in told(gain("I", -0.015, "cannot be determined"))
