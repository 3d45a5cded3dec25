"""A fairness card, a comparison and a rater check as blocks of a page."""

from __future__ import annotations

import math

from evalsuite.fairness.card import Card, GroupRow
from evalsuite.fairness.comparison import Comparison
from evalsuite.fairness.label_noise import RaterCheck
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.fairness.predictions import Predictions
from evalsuite.page import card_plots, prediction_plots
from evalsuite.page.blocks import Block, Bullets, Cell, Heading, Plot, Table, estimate_cell, number, p_value, records
from evalsuite.report import clinical_blocks, headline

#: Tables of a column: a caption and the metrics side by side, few enough for a printed page.
TABLES = (
    ("Right answers", ("accuracy", "top3", "balanced_accuracy", "macro_f1")),
    (
        "Ranking, and sensitivity at a threshold fixed on validation predictions",
        ("auroc", "auprc", "sensitivity@global", "sensitivity@group"),
    ),
    ("Calibration", ("brier", "ece", "calibration_slope", "calibration_intercept")),
)
BY_CLASS = ("sensitivity", "specificity", "auroc")
#: Gaps of a class that stand in the table of gaps, where classes are named positive.
OF_THE_POSITIVE = (*BY_CLASS, "auprc", "ppv", "npv")


def card_blocks(card: Card, predictions: Predictions | None = None) -> list[Block]:
    """Tables of groups, classes and gaps, with a forest plot for each column; curves where predictions are given."""
    blocks: list[Block] = []
    for column in card.columns:
        blocks += [
            Heading(column),
            Plot(card_plots.forest(card, column, card.primary)),
            *([Plot(card_plots.forest(card, column))] if card.primary != ACCURACY else []),
            headline.by_class(card, column),
            *_groups(card, column),
            *_gaps(card, column),
            *(_classes(card, column, metric) for metric in BY_CLASS),
        ]
        if card.positive:
            blocks += clinical_blocks.of_positive(card, column, predictions)
        if predictions is not None:
            blocks.append(Plot(prediction_plots.reliability(predictions, column)))
            blocks.append(Plot(prediction_plots.roc(predictions, column)))
    for column in dict.fromkeys(r.column for r in card.rows if r.column not in ("all", card.contrast, *card.columns)):
        blocks += [Heading(column), _crossed(card, column)]
    if predictions is not None:
        blocks += [Heading("Calibration"), Plot(prediction_plots.calibration_by_class(predictions))]
    return [*blocks, Bullets(card.notes)]


def comparison_blocks(made: Comparison) -> list[Block]:
    """Two models, group by group, and what happened to the gap."""
    rows = [
        {
            "column": c.column,
            "group": c.group,
            "n": str(c.n),
            "before": f"{c.a:.3f}",
            "after": f"{c.b:.3f}",
            "difference": _with(f"{c.difference:+.3f}", c.low, c.high, "+"),
            "p": p_value(c.p),
            "Holm p": p_value(c.p_holm),
            "no worse": "yes" if c.no_worse else "not shown",
            "detectable": number(c.detectable),
        }
        if c.enough and math.isfinite(c.difference)
        else {"column": c.column, "group": c.group, "n": str(c.n), "before": c.text()}
        for c in made.changes
    ]
    said = [
        f"{g.column}: gap {g.gap_a:.3f} to {g.gap_b:.3f}, {g.difference:+.3f} ({g.low:+.3f} to {g.high:+.3f}), "
        f"p {p_value(g.p)}; {g.reading}."
        for g in made.gaps
    ]
    said.append(made.no_worse_sentence())
    return [records(rows, f"Change in {made.metric.label()}"), Bullets(said)]


def rater_table(made: RaterCheck) -> Table:
    """The gap under each way to label the skin types."""
    return records(
        [
            {
                "labels": s.name,
                "n": str(s.n),
                f"gap in {made.metric.label()}": _with(f"{s.difference:.3f}", s.low, s.high),
                "worst": s.worst,
                "p of at most 0.05": "yes" if s.beyond_chance else "no",
                "conclusion": Cell(s.conclusion, bold=s.changed),
            }
            for s in made.scenarios
        ]
    )


def corrected_words(made: RaterCheck) -> str:
    """The difference without rating errors, and what that takes for granted."""
    assert made.corrected is not None
    return (
        f"Gap in {made.metric.label()} corrected for attenuation: {made.corrected.text()}. Both ratings are taken as "
        "errors of one true skin type (Dawid & Skene 1979), larger errors as rarer by one factor a step. That raters "
        "err alike, apart from each other, and as often on images that are classified wrong is taken for granted. The "
        f"interval is a bootstrap over the {made.corrected.n} images of the metric that have both ratings."
    )


def _groups(card: Card, column: str) -> list[Table]:
    rows = (card.row(), *card.of(column))
    tables = []
    for caption, wanted in TABLES:
        metrics = [m for m in wanted if any(m in row for row in rows)]
        body = [(row.group, str(row.n), *(estimate_cell(row[m]) if m in row else "" for m in metrics)) for row in rows]
        tables.append(Table(("group", "n", *(card.label(MetricKey.parse(m)) for m in metrics)), body, caption))
    return tables


def _classes(card: Card, column: str, metric: str) -> Table:
    """A row for each class, a column for each group: there may be a hundred classes, and there are few groups."""
    rows = (card.row(), *card.of(column))

    def cell(row: GroupRow, cls: str) -> Cell:
        n = row.n - row.positives[cls] if metric == "specificity" else row.positives[cls]
        found = estimate_cell(row.metrics[MetricKey(metric, cls=cls)])
        return Cell(found.text, [*found.under, f"n = {n}"])

    return Table(
        ("class", *(row.group for row in rows)),
        [(cls, *(cell(row, cls) for row in rows)) for cls in card.all_classes],
        f"{MetricKey(metric).label()} of each class, one against the rest; n: images "
        f"{'not of' if metric == 'specificity' else 'of'} the class",
    )


def _gaps(card: Card, column: str) -> list[Block]:
    """The largest differences, or why there is none."""
    rows = [g for g in card.gaps if g.column == column and _listed(card, g.metric)]
    if not rows:
        return ["No difference between groups: a gap needs two groups with enough data."]
    table = records(
        [
            {
                "gap in": card.label(g.metric),
                "difference": _with(f"{g.difference:.3f}", g.low, g.high),
                "ratio": number(g.ratio),
                "worst": f"{g.worst}\u00a0{g.worst_value:.3f}",
                "best": f"{g.best}\u00a0{g.best_value:.3f}",
                "p": Cell(p_value(g.p), bold=g.beyond_chance),
                "seen with a chance of 80 %": number(g.detectable, 2),
            }
            for g in rows
        ],
        f"Largest difference between groups. Only that of {card.label(card.primary)} was named in advance. A p above "
        "0.05 does not say that groups are equal: the last column is the gap that would have been seen",
    )
    return [table, Plot(card_plots.gaps(card, column))]


def _listed(card: Card, metric: MetricKey) -> bool:
    """Gaps over all classes and those of the positive ones; the other classes have a table of their own."""
    return not metric.cls or (metric.cls == card.positive and metric.kind in OF_THE_POSITIVE)


def _crossed(card: Card, column: str) -> Table:
    return records(
        [
            {
                "group": r.group,
                "n": str(r.n),
                "accuracy": estimate_cell(r["accuracy"]),
                "accuracy, shrunk towards the others": estimate_cell(r.shrunk) if r.shrunk else "",
            }
            for r in card.of(column)
        ]
    )


def _with(value: str, low: float, high: float, sign: str = "") -> Cell:
    return Cell(value, [f"{low:{sign}.3f} to {high:{sign}.3f}"])
