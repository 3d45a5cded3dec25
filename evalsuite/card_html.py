"""The card as an HTML fragment: tables and plots, all text escaped, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from evalsuite import plots
from evalsuite.card import Card
from evalsuite.compare import Comparison
from evalsuite.predictions import Predictions
from evalsuite.raters import RaterCheck

SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "sensitivity@global", "auroc", "auprc", "brier", "ece",
         "calibration_slope")


def fragment(card: Card, predictions: Predictions | None = None) -> str:
    """Tables of groups, sensitivities and gaps, with a forest plot a column; curves where predictions are given."""
    parts = []
    for column in card.columns:
        parts += [
            f"<h3>{escape(column)}</h3>", _groups(card, column), plots.forest(card, column), _gaps(card, column),
            plots.gaps(card, column), _sensitivities(card, column),
        ]
        if predictions is not None:
            parts += [plots.reliability(predictions, column), plots.roc(predictions, column)]
    crossed = list(dict.fromkeys(r.column for r in card.rows if r.column not in ("all", *card.columns)))
    for column in crossed:
        parts += [f"<h3>{escape(column)}</h3>", _crossed(card, column)]
    parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in card.notes) + "</ul>")
    return "\n".join(parts)


def comparison_fragment(made: Comparison) -> str:
    """Two models, group by group, and what happened to the gap."""
    head = ("column", "group", "n", f"{made.metric}: a, b, b - a", "p", "Holm p", "no worse", "detectable")
    body = [
        (c.column, c.group, str(c.n), c.text(), f"{c.p:.3g}", _number(c.p_holm), "yes" if c.no_worse else "not shown",
         _number(c.detectable)) for c in made.changes
    ]
    said = "".join(
        f"<li>{escape(g.column)}: gap {g.gap_a:.3f} to {g.gap_b:.3f}, {g.difference:+.3f} ({g.low:+.3f} to "
        f"{g.high:+.3f}); {escape(g.reading)}.</li>" for g in made.gaps
    )
    worse = "shown for every group" if made.no_group_worse else "not shown"
    return _table(head, body) + f"<ul>{said}<li>No group worse by more than {made.margin:g}: {worse}.</li></ul>"


def raters_fragment(made: RaterCheck) -> str:
    """The gap under each way to label the skin types."""
    head = ("labels", "n", f"gap of {made.metric}", "worst", "beyond chance", "conclusion")
    body = [
        (s.name, str(s.n), f"{s.difference:.3f} ({s.low:.3f} to {s.high:.3f})", s.worst,
         "yes" if s.beyond_chance else "no", "CHANGES" if s.changed else "stands") for s in made.scenarios
    ]
    return _table(head, body)


def _groups(card: Card, column: str) -> str:
    metrics = [m for m in SHOWN if m in card.row().metrics]
    body = [
        (row.group, str(row.n), *(row.metrics[m].text() for m in metrics)) for row in (card.row(), *card.of(column))
    ]
    return _table(("group", "n", *metrics), body)


def _sensitivities(card: Card, column: str) -> str:
    body = [
        (row.group, *(f"{row.metrics[f'sensitivity:{c}'].text()} of {row.positives[c]}" for c in card.classes))
        for row in (card.row(), *card.of(column))
    ]
    return _table(("sensitivity", *card.classes), body)


def _gaps(card: Card, column: str) -> str:
    head = ("gap", "difference", "ratio", "worst", "best", "chance: mean, 95th percentile", "p")
    body = [
        (g.metric, f"{g.difference:.3f} ({g.low:.3f} to {g.high:.3f})", _number(g.ratio),
         f"{g.worst} {g.worst_value:.3f}", f"{g.best} {g.best_value:.3f}",
         f"{_number(g.null_mean)}, {_number(g.null_p95)}", _number(g.p))
        for g in card.gaps if g.column == column and ":" not in g.metric
    ]
    return _table(head, body)


def _crossed(card: Card, column: str) -> str:
    body = [
        (r.group, str(r.n), r.metrics["accuracy"].text(), r.shrunk.text() if r.shrunk else "") for r in card.of(column)
    ]
    return _table(("group", "n", "accuracy", "accuracy, shrunk"), body)


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"
