"""The report of `evalsuite fairness`: verdict, card, comparison, label noise, methods, limits."""

from __future__ import annotations

from evalsuite.fairness.card import Card
from evalsuite.fairness.comparison import Comparison
from evalsuite.fairness.label_noise import RaterCheck
from evalsuite.fairness.predictions import Predictions
from evalsuite.page.blocks import Answer, Report, Section
from evalsuite.report import card_blocks, flow, headline, methods


def report(
    card: Card, test: Predictions, compared: Comparison | None = None, raters: RaterCheck | None = None
) -> Report:
    """All sections of a card."""
    sections = [
        Section("Card", card_blocks.card_blocks(card, test)),
        Section("Which images the answer rests on", flow.flow_blocks(card, test)),
    ]
    if compared is not None:
        sections.append(
            Section(
                "Against the baseline",
                [
                    f"{compared.b} against {compared.a}, on the same images. The detectable difference is the "
                    "one that a group of this size had an 80% chance to show.",
                    *card_blocks.comparison_blocks(compared),
                ],
            )
        )
    if raters is not None:
        sections.append(
            Section(
                "Skin-type label noise",
                [
                    "Skin types are opinions. This is the gap by each rater, where both agree, and with labels moved "
                    "one step.",
                    card_blocks.rater_table(raters),
                    *([card_blocks.corrected_words(raters)] if raters.corrected else []),
                ],
            )
        )
    sections += [Section("Methods", methods.of_card(card, test)), Section("Limits", methods.limits(phantoms=False))]
    title = f"Fairness card of {card.source}"
    return Report(title, answer(card, compared, raters), sections, classifier=card.classifier)


def answer(card: Card, compared: Comparison | None = None, raters: RaterCheck | None = None) -> Answer:
    """What the primary metric says, class by class, and what else changes its reading."""
    first, *others = headline.sentences(card)
    exploratory = headline.exploratory(card)
    details = [*others, *([exploratory] if exploratory else [])]
    if compared is not None:
        details += [f"Against the baseline, by {g.column}: {g.reading}." for g in compared.gaps]
        details.append(compared.no_worse_sentence())
    if raters is not None:
        changed = [s.name for s in raters.scenarios if s.changed]
        details.append(
            f"The conclusion CHANGES with the labels: {', '.join(changed)}."
            if changed
            else "The conclusion holds under every way to label the skin types that was tried."
            if any(s.beyond_chance for s in raters.scenarios)
            else "Nothing more can be determined under any way to label the skin types that was tried."
        )
        if raters.corrected is not None:
            details.append(f"Corrected for disagreement of the raters, {raters.corrected.text()}.")
    tables = [headline.by_class(card, card.contrast or card.columns[0])]
    return Answer(first, headline.numbers(card), details, tables)
