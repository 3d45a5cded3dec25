"""The report of `evalsuite fairness`: verdict, card, comparison, label noise, methods, limits."""

from __future__ import annotations

from evalsuite.fairness.card import Card, Gap
from evalsuite.fairness.comparison import Comparison
from evalsuite.fairness.label_noise import RaterCheck
from evalsuite.fairness.metric_key import ACCURACY
from evalsuite.fairness.predictions import Predictions
from evalsuite.page.blocks import Answer, Report, Section, value_and_rest
from evalsuite.report import card_blocks, methods


def report(
    card: Card, test: Predictions, compared: Comparison | None = None, raters: RaterCheck | None = None
) -> Report:
    """All sections of a card."""
    sections = [Section("Card", card_blocks.card_blocks(card, test))]
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
                ],
            )
        )
    sections += [Section("Methods", methods.of_card(card, test)), Section("Limits", methods.limits(phantoms=False))]
    title = f"Fairness card of {card.source}"
    return Report(title, answer(card, compared, raters), sections, classifier=card.classifier)


def answer(card: Card, compared: Comparison | None = None, raters: RaterCheck | None = None) -> Answer:
    """The gap of the first column in a sentence, and what else changes its reading."""
    whole = card.row()
    numbers = [(f"accuracy, all {whole.n} images", *value_and_rest(whole[ACCURACY].text()))]
    gaps = [g for g in card.gaps if g.metric == ACCURACY]
    if not gaps:
        return Answer(f"No gap can be determined: fewer than two groups have enough data ({_columns(card)}).", numbers)
    first = gaps[0]
    numbers += [
        (
            f"worst by {first.column}: {first.worst}",
            *value_and_rest(card.row(first.column, first.worst)[ACCURACY].text()),
        ),
        (f"gap by {first.column}", f"{first.difference:.3f}", f"{first.low:.3f} to {first.high:.3f}"),
        ("gap by chance alone", f"up to {first.null_p95:.3f}", f"mean {first.null_mean:.3f}"),
    ]
    details = [_sentence(g) for g in gaps[1:]]
    others = sorted(
        {
            card.label(g.metric)
            for g in card.gaps
            if g.column == first.column and g.metric != ACCURACY and not g.metric.cls and g.beyond_chance
        }
    )
    if others:
        details.append(f"Also beyond chance by {first.column}, not corrected for their number: {', '.join(others)}.")
    if first.left_out:
        details.append(f"Not enough data, left out of the gap: {', '.join(first.left_out)}.")
    if compared is not None:
        details += [f"Against the baseline, by {g.column}: {g.reading}." for g in compared.gaps]
        details.append(compared.no_worse_sentence())
    if raters is not None:
        changed = [s.name for s in raters.scenarios if s.changed]
        details.append(
            f"The conclusion CHANGES with the labels: {', '.join(changed)}."
            if changed
            else "The conclusion holds under every way to label the skin types that was tried."
        )
    return Answer(_sentence(first), numbers, details)


def _sentence(gap: Gap) -> str:
    against = (
        "more than equal groups of these sizes show by chance"
        if gap.beyond_chance
        else "no more than equal groups of these sizes show by chance"
    )
    return (
        f"By {gap.column}, accuracy is lowest for {gap.worst} ({gap.worst_value:.3f}) and highest for {gap.best} "
        f"({gap.best_value:.3f}): a gap of {gap.difference:.3f} ({gap.low:.3f} to {gap.high:.3f}), {against} "
        f"(95th percentile {gap.null_p95:.3f}; p {'<0.001' if gap.p < 0.001 else f'= {gap.p:.3f}'})."
    )


def _columns(card: Card) -> str:
    return ", ".join(card.columns)
