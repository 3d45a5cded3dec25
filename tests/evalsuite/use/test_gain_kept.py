"""The change of a classifier's gain, paired by test image and seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evalsuite.fairness import predictions
from evalsuite.fairness.predictions import Predictions
from evalsuite.stats.equivalence import Margin
from evalsuite.use.comparison import judged
from evalsuite.use.gain_kept import compare, unmeasured


def table(right: np.ndarray) -> Predictions:
    """Predictions of two classes and two groups, of which these are right."""
    n = len(right)
    label = np.arange(n) % 2
    called = np.where(right, label, 1 - label)
    frame = pd.DataFrame(
        {
            "id": [f"i{k:05d}" for k in range(n)],
            "label": np.array(["a", "b"])[label],
            "prob_a": np.where(called == 0, 0.9, 0.1),
            "prob_b": np.where(called == 0, 0.1, 0.9),
            "group": np.where(np.arange(n) // 2 % 2, "dark", "light"),
        }
    )
    return predictions.from_frame(frame)


def sides(n: int, accuracy: dict[str, float], seeds: int = 4, dark: float = 0.0) -> dict[str, list[Predictions]]:
    """Tables of three arms; hard images are hard for all. The student loses `dark` in the dark group only."""
    rng = np.random.default_rng(0)
    hard, group = rng.random(n), np.arange(n) // 2 % 2
    found = {}
    for name, value in accuracy.items():
        own = value - (dark * group if name == "student" else 0.0)
        found[name] = [table(hard + 0.05 * rng.normal(size=n) < own) for _ in range(seeds)]
    return found


def verdicts(made: dict[str, list[Predictions]], margin: float) -> dict[str, str]:
    rows = judged(list(compare(made, n_boot=300)), lambda _: Margin(-margin, margin))
    return {row.cell: row.verdict for row in rows}


def test_an_equal_gain_passes_and_a_lost_one_fails() -> None:
    accuracy = {"real": 0.6, "teacher": 0.7, "student": 0.7}
    assert verdicts(sides(2000, accuracy), 0.03) == dict.fromkeys(("all", "dark", "light"), "pass")
    assert verdicts(sides(2000, {**accuracy, "student": 0.6}), 0.03)["all"] == "fail"


def test_the_change_is_the_students_gain_less_the_teachers() -> None:
    row = next(compare(sides(2000, {"real": 0.6, "teacher": 0.8, "student": 0.7}), n_boot=50))
    assert (row.teacher, row.student, row.value) == pytest.approx((0.2, 0.1, -0.1), abs=0.03)
    assert row.bounds(0.9)[1] < 0


def test_a_loss_of_one_skin_type_fails_there() -> None:
    found = verdicts(sides(2000, {"real": 0.6, "teacher": 0.7, "student": 0.7}, dark=0.15), 0.03)
    assert found["dark"] == "fail"
    assert found["light"] == "pass"


@pytest.mark.parametrize(("n", "seeds"), [(60, 4), (2000, 2)])
def test_few_images_or_seeds_say_nothing(n: int, seeds: int) -> None:
    found = verdicts(sides(n, {"real": 0.6, "teacher": 0.7, "student": 0.7}, seeds), 0.03)
    assert set(found.values()) == {"cannot be determined"}


def test_an_equal_gain_of_a_teacher_that_does_not_help_is_marked() -> None:
    useless, helpful = (
        next(compare(sides(1000, {"real": 0.7, "teacher": teacher, "student": teacher}), n_boot=300))
        for teacher in (0.7, 0.8)
    )
    assert "not shown to help" in useless.note
    assert not helpful.note
    assert helpful.teacher == pytest.approx(0.1, abs=0.03)


def test_a_skin_type_without_test_images_has_a_row_that_says_so() -> None:
    """Else a student could pass whose images of it were never tried."""
    made = sides(200, {"real": 0.6, "teacher": 0.7, "student": 0.7})
    rows = {row.cell: row for row in compare(made, ["dark", "light", "tan"], n_boot=50)}
    assert set(rows) == {"all", "dark", "light", "tan"}
    assert rows["tan"].lacking == "no test image is of the skin type tan"
    assert not any(rows[cell].lacking for cell in ("all", "dark", "light"))


def test_no_classifier_is_no_pass() -> None:
    row = judged([unmeasured()], lambda _: Margin(-1, 1))[0]
    assert row.verdict == "cannot be determined"
    assert "not measured" in row.note
