"""PPV and NPV: scikit-learn's precision at the table's own prevalence, and intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_tables import dermatology
from sklearn.metrics import precision_score

from dermforge.common.errors import UserError
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import from_frame
from evalsuite.fairness.predictive_values import predictive_values
from evalsuite.fairness.question import Question
from evalsuite.stats.estimate import Estimate
from evalsuite.stats.intervals import wilson


def share(hits: int, n: int) -> Estimate:
    def bounds(confidence: float) -> tuple[float, float]:
        return wilson(hits, n, confidence)

    return Estimate(hits / n, *bounds(0.95), n, bounds=bounds)


def test_at_the_tables_own_prevalence_they_are_scikit_learns() -> None:
    """To 1e-9, for all rows; the card has them for each group, and gaps of them."""
    test = from_frame(dermatology(4, n=900), groups=["fst"])
    positive = test.labels == 2
    settings = CardSettings(prevalence=float(positive.mean()))
    card = compute_card(test, ["fst"], settings, question=Question(("melanoma",)))
    called = test.predicted == 2
    assert card.row()["ppv:melanoma"].value == pytest.approx(precision_score(positive, called), abs=1e-9)
    assert card.row()["npv:melanoma"].value == pytest.approx(precision_score(~positive, ~called), abs=1e-9)
    assert all("ppv:melanoma" in row for row in card.of("fst"))
    assert card.gap("fst", "ppv:melanoma").difference > 0
    assert "at a prevalence of" in card.label(card.gap("fst", "npv:melanoma").metric)


def test_they_need_a_prevalence_and_a_class() -> None:
    test = from_frame(dermatology(4, n=300), groups=["fst"])
    with pytest.raises(UserError, match="needs a prevalence and the positive class"):
        compute_card(test, ["fst"], question=Question(("melanoma",), "ppv"))


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 400), st.integers(1, 400), st.floats(0.001, 0.5))
def test_intervals_hold_their_value_and_stay_within_0_and_1(
    hits: int, more: int, right: int, others: int, prevalence: float
) -> None:
    found = predictive_values(share(hits, hits + more), share(right, right + others), prevalence)
    for value in (found.ppv, found.npv):
        if np.isfinite(value.value):
            assert 0 <= value.low <= value.value <= value.high <= 1


@pytest.mark.parametrize(("hit", "right", "positives"), [(0.8, 0.9, 40), (0.95, 0.98, 30), (0.5, 0.6, 15)])
def test_intervals_cover_the_truth(hit: float, right: float, positives: int) -> None:
    """Of 1,500 tables with 300 negatives, at a prevalence of 5 %: 92.5 to 98.5 % (discrete counts)."""
    rng, p = np.random.default_rng(0), 0.05
    truth = hit * p / (hit * p + (1 - right) * (1 - p))
    other = right * (1 - p) / (right * (1 - p) + (1 - hit) * p)
    inside = []
    for _ in range(1500):
        found = predictive_values(
            share(rng.binomial(positives, hit), positives), share(rng.binomial(300, right), 300), p
        )
        inside.append((found.ppv.low <= truth <= found.ppv.high, found.npv.low <= other <= found.npv.high))
    covered = np.mean(inside, axis=0)
    assert (covered > 0.925).all(), covered
    assert (covered < 0.985).all(), covered
