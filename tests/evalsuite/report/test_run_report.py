"""What the page of a run says of the groups."""

from __future__ import annotations

from evalsuite.fairness.comparison import Change, Comparison
from evalsuite.fairness.metric_key import ACCURACY
from evalsuite.report.run_report import who_moved


def test_who_gained_is_said_only_where_it_stands_among_all_groups() -> None:
    """An interval that leaves out 0 is not enough: one of six groups does so by chance more often than 1 time in 20."""

    def change(group: str, difference: float, p: float, p_holm: float) -> Change:
        return Change(
            "fst",
            group,
            200,
            True,
            0.6,
            0.6 + difference,
            difference,
            difference - 0.05,
            difference + 0.05,
            p,
            p_holm,
            False,
            0.08,
        )

    def told(*changes: Change) -> str:
        return " ".join(who_moved(Comparison("a", "b", ACCURACY, 0.02, changes, (), False), "fst"))

    by_chance, sure, worse = change("II", 0.06, 0.035, 0.175), change("V", 0.11, 0.006, 0.037), change("I", -0.2, 0, 0)
    assert "Gained beyond chance (Holm): V." in told(by_chance, sure)
    assert "Lost beyond chance (Holm): I." in told(by_chance, worse)
    assert "No single skin type gained or lost beyond chance." in told(by_chance)
