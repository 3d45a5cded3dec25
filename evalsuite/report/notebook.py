"""A card and a comparison that a notebook shows as tables and plots.

They are apart from the data that they show: the report knows the fairness card, and not the other way round.
"""

from __future__ import annotations

from dataclasses import fields

from evalsuite.fairness.card import Card
from evalsuite.fairness.comparison import Comparison
from evalsuite.page.render import fragment
from evalsuite.report import card_blocks, fairness_report


class NotebookCard(Card):
    """A card that draws itself."""

    def _repr_html_(self) -> str:
        whose = [f"Classifier: {self.classifier}."] if self.classifier else []
        said = fairness_report.answer(self)
        return fragment([said.sentence, *whose, *said.details, *said.blocks, *card_blocks.card_blocks(self)])


class NotebookComparison(Comparison):
    """A comparison that draws itself."""

    def _repr_html_(self) -> str:
        return fragment(card_blocks.comparison_blocks(self))


def shown_card(card: Card) -> NotebookCard:
    """The same card, drawn by a notebook."""
    return NotebookCard(**{field.name: getattr(card, field.name) for field in fields(card)})


def shown_comparison(made: Comparison) -> NotebookComparison:
    """The same comparison, drawn by a notebook."""
    return NotebookComparison(**{field.name: getattr(made, field.name) for field in fields(made)})
