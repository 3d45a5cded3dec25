"""Plots of a card."""

from __future__ import annotations

from planted_tables import dermatology

import dermforge
from evalsuite.page import card_plots


def test_a_group_shows_the_images_that_its_metric_rests_on() -> None:
    """A sensitivity rests on the images of its class, not on all of the group."""
    card = dermforge.fairness_card(dermatology(0, 0.0), groups=["fst"], positive="melanoma", intersections=False)
    drawn = card_plots.forest(card, "fst", card.primary)
    for row in card.of("fst"):
        assert f"{row.group} (n={row[card.primary].n})" in drawn
        assert row[card.primary].n < row.n
