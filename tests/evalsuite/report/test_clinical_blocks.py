"""Thresholds, predictive values and curves of the positive classes, of one class and of several."""

from __future__ import annotations

import pytest
from planted_tables import dermatology
from sklearn.metrics import recall_score

from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import from_frame
from evalsuite.fairness.question import Question
from evalsuite.page.blocks import Plot, Table
from evalsuite.report import card_blocks, clinical_blocks, headline


@pytest.mark.parametrize("positive", [("melanoma",), ("melanoma", "keratosis")])
def test_each_group_has_thresholds_values_and_curves(positive: tuple[str, ...]) -> None:
    test = from_frame(dermatology(7, n=900), groups=["fst"])
    held = from_frame(dermatology(8, n=600, prefix="v"), groups=["fst"])
    card = compute_card(test, ["fst"], CardSettings(prevalence=0.02), validation=held, question=Question(positive))
    blocks = clinical_blocks.of_positive(card, "fst", test)
    thresholds, values = (block for block in blocks if isinstance(block, Table))
    assert len(thresholds.rows) == len(values.rows) == 7
    assert "specificity at 90% sensitivity, one threshold" in thresholds.head
    assert "PPV" in values.head
    plots = [block.svg for block in blocks if isinstance(block, Plot)]
    assert len(plots) == 2
    assert "acting on none" in plots[0]
    assert f"Calibration for {'+'.join(positive)}" in plots[1]
    without = compute_card(test, ["fst"], question=Question(positive))
    assert not [block for block in clinical_blocks.of_positive(without, "fst", None) if isinstance(block, Table)]
    assert card_blocks.card_blocks(card, test)


def test_specificity_at_a_sensitivity_is_that_of_the_validation_threshold() -> None:
    """The threshold keeps the sensitivity on the validation rows, and scikit-learn counts the same specificity."""
    test = from_frame(dermatology(7, n=900), groups=["fst"])
    held = from_frame(dermatology(8, n=600, prefix="v"), groups=["fst"])
    card = compute_card(test, ["fst"], validation=held, question=Question(("melanoma",), "specificity@sens85"))
    threshold = card.thresholds["sens"]["melanoma"]
    kept = (held.probs[held.labels == 2, 2] >= threshold).mean()
    assert 0.85 <= kept < 0.87
    negative = test.labels != 2
    value = recall_score(negative, test.probs[:, 2] < threshold)
    assert card.row()[card.primary].value == pytest.approx(value, abs=1e-9)
    assert card.primary_gap("fst") is not None
    assert headline.by_class(card, "fst").caption.startswith(
        "specificity at 85% sensitivity, one threshold of each class"
    )
    with pytest.raises(KeyError):
        card.gap("fst", "sensitivity@sens:melanoma")
