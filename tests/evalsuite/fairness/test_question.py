"""What a reader asks: several classes as one, and which metric is primary."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted_tables import dermatology
from sklearn.metrics import recall_score, roc_auc_score

from dermforge.common.errors import UserError
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.fairness.question import Question, collapse

BOTH = ("keratosis", "melanoma")


def of(frame: pd.DataFrame) -> Predictions:
    return from_frame(frame, groups=["fst"], cluster="patient")


@pytest.fixture(scope="module")
def test_set() -> Predictions:
    return of(dermatology(1, n=800))


def test_several_classes_are_one_as_scikit_learn_counts_them(test_set: Predictions) -> None:
    """Called by the likeliest class, ranked by the sum of their probabilities."""
    card = compute_card(test_set, ["fst"], question=Question(BOTH))
    truth, call = np.isin(test_set.labels, (1, 2)), np.isin(test_set.predicted, (1, 2))
    assert card.positive == "keratosis+melanoma"
    assert card.primary == MetricKey("sensitivity", cls="keratosis+melanoma")
    assert card.row()[card.primary].value == pytest.approx(recall_score(truth, call), abs=1e-9)
    area = roc_auc_score(truth, test_set.probs[:, 1:].sum(axis=1))
    assert card.row()["auroc:keratosis+melanoma"].value == pytest.approx(area, abs=1e-9)
    assert card.row()["auroc:keratosis+melanoma"].n == min(truth.sum(), (~truth).sum())
    assert card.primary_gap("fst") is not None


def test_one_class_by_itself_is_the_cards_own(test_set: Predictions) -> None:
    card = compute_card(test_set, ["fst"], question=Question(("melanoma",)))
    alone = compute_card(collapse(test_set, ("melanoma",)), ["fst"])
    assert card.primary_gap("fst") == alone.gap("fst", "sensitivity:melanoma")


def test_sensitivity_at_a_specificity_is_asked_for_by_name(test_set: Predictions) -> None:
    held = of(dermatology(2, n=600, prefix="v"))
    question = Question(("melanoma",), "sensitivity@spec95")
    card = compute_card(test_set, ["fst"], validation=held, question=question)
    assert card.settings.specificity == 0.95
    assert card.primary == MetricKey("sensitivity", "global", "melanoma")
    assert "at 95% specificity" in card.label(card.primary)
    same = compute_card(test_set, ["fst"], CardSettings(specificity=0.95), validation=held)
    assert card.row()[card.primary] == same.row()["sensitivity@global:melanoma"]
    with pytest.raises(UserError, match="needs validation predictions"):
        compute_card(test_set, ["fst"], question=question)


def test_a_planned_contrast_is_the_gap_of_two_merged_groups(test_set: Predictions) -> None:
    """Its sizes add up to the table, with its own rows, and the columns of the card stay as they are."""
    card = compute_card(test_set, ["fst"], question=Question(("melanoma",), contrast="V-VI"))
    assert card.contrast == "fst, V-VI against the others"
    assert card.columns == ("fst",)
    assert sum(row.n for row in card.of(card.contrast)) == test_set.n
    dark = np.isin(test_set.groups["fst"], ["V", "VI"]) & (test_set.labels == 2)
    value = card.row(card.contrast, "V-VI")[card.primary].value
    assert value == pytest.approx((test_set.predicted == 2)[dark].mean())


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(("freckle",)), "unknown positive class freckle; its classes are benign nevus, keratosis, melanoma"),
        (Question(("benign nevus", *BOTH)), "name each once, and leave another"),
        (Question(("melanoma", "melanoma")), "name each once"),
        (Question(primary="sensitivity"), "name the positive class"),
        (Question(primary="beauty"), "unknown primary metric 'beauty'; expected one of accuracy"),
        (Question(("melanoma",), "sensitivity@spec0"), "above 0 and below 100"),
        (Question(contrast="VII"), "no group of 'fst' is in 'VII'"),
    ],
)
def test_what_cannot_be_answered_is_refused(test_set: Predictions, question: Question, said: str) -> None:
    with pytest.raises(UserError) as caught:
        compute_card(test_set, ["fst"], question=question)
    assert said in str(caught.value)
