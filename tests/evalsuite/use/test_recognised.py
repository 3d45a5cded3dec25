"""Recognition is judged where the classifier knows the class, in all images and in each class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evalsuite.use.comparison import Comparison
from evalsuite.use.recognised import Judged, Recognition


def side(right: float, n: int = 300) -> Judged:
    """Images of three classes of which a share is recognised; the others are taken for the first."""
    rng = np.random.default_rng(0)
    label = np.array(["a", "b", "c"])[np.arange(n) % 3]
    return Judged(label, np.where(rng.random(n) < right, label, "a"), np.arange(n))


def rows(real: float, teacher: float, student: float) -> dict[str, Comparison]:
    found = Recognition(("a", "b", "c"), side(real), side(teacher), side(student), True).compare()
    return {row.cell: row for row in found}


def test_a_class_that_the_classifier_does_not_know_is_not_judged() -> None:
    found = rows(0.0, 0.9, 0.9)
    assert not found["a"].lacking
    assert all("not above chance" in found[cell].lacking for cell in ("all", "b", "c", "b taken for a"))


def test_a_class_that_may_be_known_by_chance_is_not_judged() -> None:
    found = rows(0.38, 0.9, 0.9)
    assert all("not above chance" in found[cell].lacking for cell in ("b", "c", "b taken for c"))


def test_what_is_taken_for_a_class_that_was_not_drawn_has_a_row() -> None:
    drawn = side(0.9)
    some = Judged(*(part[drawn.label != "c"] for part in (drawn.label, drawn.predicted, drawn.family)))
    taken = replace(some, predicted=np.where(some.label == "b", "c", some.predicted))
    found = {row.cell: row for row in Recognition(("a", "b"), side(0.9), some, taken, True).compare()}
    assert found["b taken for c"].value == 1
    assert set(found) == {
        "all",
        "a",
        "b",
        *(f"{one} taken for {other}" for one in "ab" for other in "abc" if one != other),
    }


def test_what_is_lost_and_what_it_is_taken_for() -> None:
    found = rows(0.9, 0.9, 0.3)
    assert found["all"].bounds(0.9)[1] < -0.3
    assert found["b taken for a"].bounds(0.9)[0] > 0.4
    assert found["b taken for c"].value == 0
    assert not any(row.lacking for row in found.values())
