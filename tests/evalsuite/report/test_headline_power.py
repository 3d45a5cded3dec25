"""How often the first sentence finds a planted loss, beside Fisher's exact test of dark against light."""

from __future__ import annotations

import numpy as np
import pytest
from planted_tables import dermatology, fisher

from evalsuite.fairness import merge
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import from_frame
from evalsuite.fairness.question import Question

pytestmark = pytest.mark.slow
ALONE = CardSettings(intersections=False)


def headline(seed: int, loss: float, *ranges: str) -> tuple[bool, bool]:
    """Whether the first sentence, and whether Fisher's test finds a difference."""
    frame = dermatology(seed, loss)
    table = merge.merge(from_frame(frame, groups=["fst"], cluster="patient"), {"fst": ranges})
    question = Question(("melanoma",), contrast=merge.planned("", ranges))
    card = compute_card(table, ["fst"], ALONE, question=question)
    gap = card.primary_gap(card.contrast or "fst")
    assert gap is not None
    return gap.beyond_chance, fisher(frame) <= 0.05


@pytest.mark.parametrize("ranges", [("I-II", "III-IV", "V-VI"), ("I-IV", "V-VI")])
def test_a_planted_loss_is_found_as_often_as_by_fisher(ranges: tuple[str, ...]) -> None:
    found = np.array([headline(1000 + seed, 0.10, *ranges) for seed in range(60)])
    print(ranges, "headline, Fisher:", found.sum(axis=0))
    assert found[:, 0].sum() >= found[:, 1].sum()


def test_equal_groups_differ_in_one_table_of_twenty() -> None:
    """Of 300 tables: 5 % expected, two standard errors above 6 % allowed."""
    found = np.array([headline(5000 + seed, 0.0, "I-II", "III-IV", "V-VI")[0] for seed in range(300)])
    print("false alarms:", found.mean())
    assert found.mean() <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / 300)
