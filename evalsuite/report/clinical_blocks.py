"""What a clinician asks of the positive classes: thresholds, predictive values, net benefit, calibration; by group."""

from __future__ import annotations

from evalsuite.fairness.card import Card, GroupRow
from evalsuite.fairness.cuts import EVERYWHERE, OWN, SENSITIVE
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.predictions import Predictions
from evalsuite.fairness.question import collapse
from evalsuite.page import decision_plots, prediction_plots
from evalsuite.page.blocks import Block, Cell, Plot, Table, estimate_cell

_THRESHOLDS = (
    (EVERYWHERE, "sensitivity"),
    (EVERYWHERE, "specificity"),
    (OWN, "sensitivity"),
    (OWN, "specificity"),
    (SENSITIVE, "specificity"),
    (SENSITIVE, "sensitivity"),
)


def of_positive(card: Card, column: str, predictions: Predictions | None) -> list[Block]:
    """Tables and plots of the positive classes by a column; plots where predictions are given."""
    thresholds = [MetricKey(kind, threshold, card.positive) for threshold, kind in _THRESHOLDS]
    values = [MetricKey(kind, threshold, card.positive) for threshold in ("", EVERYWHERE) for kind in ("ppv", "npv")]
    blocks: list[Block] = [
        *_table(card, column, thresholds, _fixed(card)),
        *_table(card, column, values, f"Predictive values for {card.positive}{_stated(card)}"),
    ]
    if predictions is not None:
        one = predictions
        if card.positive not in predictions.classes or len(card.positive_classes) > 1:
            one = collapse(predictions, card.positive_classes)
        prevalence = card.settings.prevalence
        blocks += [
            Plot(decision_plots.decision_curves(one, card.positive, column, prevalence=prevalence), _exchange(card)),
            Plot(prediction_plots.reliability(one, column, cls=card.positive)),
        ]
    return blocks


def _table(card: Card, column: str, wanted: list[MetricKey], caption: str) -> list[Block]:
    """A row for each group; nothing where the card has none of the metrics."""
    rows = (card.row(), *card.of(column))
    shown = [key for key in wanted if any(key in row for row in rows)]
    if not shown:
        return []
    head = ("group", *(key.label(card.settings.specificity, card.settings.sensitivity) for key in shown))
    return [Table(head, [(row.group, *(_cell(row, key) for key in shown)) for row in rows], caption)]


def _cell(row: GroupRow, key: MetricKey) -> Cell | str:
    if key not in row:
        return ""
    found = estimate_cell(row[key])
    return Cell(found.text, [*found.under, f"n = {row[key].n}"])


def _fixed(card: Card) -> str:
    return (
        f"Calls for {card.positive} at thresholds that validation predictions fixed: how sensitivity and specificity "
        "turned out on the test images"
    )


def _stated(card: Card) -> str:
    return f" at a prevalence of {card.settings.prevalence:.2g}" if card.settings.prevalence else ""


def _exchange(card: Card) -> str:
    moved = ""
    if card.settings.prevalence:
        moved = (
            " Probabilities are moved from the prevalence among the test images to the stated one by Bayes' rule, "
            "which is right where they are calibrated."
        )
    return (
        "Net benefit counts true positives less false positives, weighed by what one who acts from this probability "
        "would pay for one true positive. Where the whole band lies below both lines, acting on the "
        "classifier does harm in that group." + moved
    )
