"""The first sentence: what is known, what cannot be determined, who was not judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted_tables import dermatology

import dermforge
from evalsuite.page.blocks import Cell, p_value
from evalsuite.report import fairness_report, headline
from evalsuite.report.notebook import NotebookCard
from evalsuite.stats.hypothesis_tests import holm

MERGED = ["I-II", "III-IV", "V-VI"]


def card(loss: float, frame: pd.DataFrame | None = None, **options: object) -> NotebookCard:
    whole = dermatology(0, loss) if frame is None else frame
    named = {"groups": ["fst"], "positive": "melanoma", "intersections": False} | options
    return dermforge.fairness_card(whole, **named)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lost() -> NotebookCard:
    return card(0.4, merge=MERGED)


@pytest.fixture(scope="module")
def equal() -> NotebookCard:
    return card(0.0, merge=MERGED)


def test_a_loss_is_named_with_group_numbers_and_p(lost: NotebookCard) -> None:
    said = headline.sentences(lost)[0]
    gap = lost.primary_gap(lost.contrast)
    assert gap is not None
    assert said.startswith("By fst, V-VI against the others: sensitivity for melanoma differs: lowest for V-VI")
    assert f"a gap of {gap.difference:.3f} ({gap.low:.3f} to {gap.high:.3f}), p < 0.001" in said
    assert gap.low > 0


def test_no_difference_is_never_taken_from_a_large_p(equal: NotebookCard) -> None:
    """p above 0.05 says what could have been seen, on the page and in a notebook."""
    said = headline.sentences(equal)
    gap = equal.primary_gap(equal.contrast)
    assert gap is not None
    assert gap.p > 0.05
    seen = (
        f"a gap of {gap.detectable:.2f} between {gap.worst} and {gap.best} would have been seen with a chance of 80 %"
    )
    assert f"cannot be determined; {seen}" in said[0]
    shown = equal._repr_html_()
    for words in ("no more than", "by chance", "beyond chance"):
        assert words not in " ".join(said) + shown


def test_each_class_has_its_worst_and_best_group(lost: NotebookCard) -> None:
    """The positive one first and by its own p; the others by Holm's."""
    found = headline.by_class(lost, lost.contrast)
    assert [row[0] for row in found.rows] == ["melanoma", "benign nevus", "keratosis"]
    melanoma, nevus = found.rows[0], found.rows[1]
    assert isinstance(melanoma[3], Cell)
    assert melanoma[3].text.startswith("V-VI 0.")
    assert isinstance(melanoma[1], Cell)
    assert melanoma[1].text.startswith("V-VI lower than the others")
    assert str(nevus[1]).startswith("cannot be determined; a gap of")


def test_a_metric_that_was_not_named_is_not_called_planned() -> None:
    """PPV was named: the sensitivity of the same class is one of three, and its p is Holm's too."""
    found = card(0.2, primary="ppv", prevalence=0.02)
    table = headline.by_class(found, "fst")
    assert "None was named in advance: the p of each is Holm's" in table.caption
    own = [found.gap("fst", f"sensitivity:{cls}").p for cls in found.all_classes]
    assert [row[5] for row in table.rows] == [p_value(p) for p in holm(np.array(own)).tolist()]


def test_no_group_is_the_worst_where_all_have_the_same_value() -> None:
    """All melanomas found: the sentence, the numbers and the table name no group as worst and best at once."""
    frame = dermatology(0, 0.0)
    sure = (frame.label == "melanoma").to_numpy(float)
    for column in [c for c in frame.columns if str(c).startswith("prob_")]:
        frame[column] = np.where(sure, column == "prob_melanoma", frame[column])
    found = card(0.0, frame)
    assert "It is the same for all that were judged (1.000), a gap of 0.000" in headline.sentences(found)[0]
    assert not [what for what, _, _ in headline.numbers(found) if what.startswith(("worst", "best"))]
    assert [getattr(c, "text", c) for c in headline.by_class(found, "fst").rows[0][3:5]] == ["all the same: 1.000"] * 2


def test_a_single_judged_group_is_not_called_too_small() -> None:
    """Of two groups only the one without enough images is named."""
    frame = dermatology(3, 0.0)
    frame = pd.concat([frame[frame.fst == "I"], frame[frame.fst == "VI"].head(4)], ignore_index=True)
    said = headline.sentences(card(0.0, frame, positive=""))[0]
    assert said.endswith("fewer than two groups have enough data. Not judged: VI (n = 4).")


def test_a_group_without_enough_images_is_named() -> None:
    """One melanoma of VI: its sensitivity of 0 or 1 is no end of a gap, and is not passed over."""
    frame = dermatology(3, 0.0)
    few = frame[~((frame.fst == "VI") & (frame.label == "melanoma"))]
    one = frame[(frame.fst == "VI") & (frame.label == "melanoma")].head(1)
    said = headline.sentences(card(0.0, pd.concat([few, one], ignore_index=True)))[0]
    assert "Not judged: VI (n = 1)." in said
    rows = headline.by_class(card(0.0, few.head(60), min_count=40), "fst").rows
    assert str(rows[0][1]).startswith("cannot be determined: not enough images (I ")


def test_a_small_group_does_not_hide_which_difference_is_sure() -> None:
    """The lowest of the groups by luck is not the group that the p is of: both are named."""
    frame = dermatology(5, 0.4)
    frame = frame[~frame.fst.isin(["II", "III"]) | (frame.index % 3 == 0)].reset_index(drop=True)
    found = card(0.4, frame, min_count=5)
    gap = found.primary_gap("fst")
    assert gap is not None
    assert gap.beyond_chance
    assert gap.surest[1] == found.row("fst", gap.surest[0])[found.primary].value
    assert gap.surest[1] < gap.surest[3]
    assert (gap.surest[0], gap.surest[2]) != (gap.worst, gap.best)
    assert "surest difference" in headline.sentences(found)[0]


def test_the_answer_has_the_numbers_and_the_classes(lost: NotebookCard) -> None:
    answer = fairness_report.answer(lost)
    assert [what for what, _, _ in answer.numbers][2:4] == ["gap", "gap that would have been seen"]
    assert len(answer.blocks) == 1
