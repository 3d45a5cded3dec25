"""The card as an HTML fragment: tables and plots, all text escaped, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from evalsuite.fairness.card import Card, Estimate, Row, metric_name
from evalsuite.fairness.compare_models import Comparison
from evalsuite.fairness.label_noise import RaterCheck
from evalsuite.fairness.predictions import Predictions
from evalsuite.page import plots

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


def fragment(card: Card, predictions: Predictions | None = None) -> str:
    """Tables of groups, classes and gaps, with a forest plot a column; curves where predictions are given."""
    parts: list[str] = []
    for column in card.columns:
        parts += [
            Markup("<h3>{}</h3>").format(column),
            plots.forest(card, column),
            *_groups(card, column),
            _gaps(card, column),
            plots.gaps(card, column),
            *(_classes(card, column, metric) for metric in BY_CLASS),
        ]
        if predictions is not None:
            parts += [plots.reliability(predictions, column), plots.roc(predictions, column)]
    crossed = list(dict.fromkeys(r.column for r in card.rows if r.column not in ("all", *card.columns)))
    for column in crossed:
        parts += [Markup("<h3>{}</h3>").format(column), _crossed(card, column)]
    parts.append(
        Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(note) for note in card.notes))
    )
    return "\n".join(parts)


def comparison_fragment(made: Comparison) -> str:
    """Two models, group by group, and what happened to the gap."""
    head = ("column", "group", "n", "before", "after", "difference", "p", "Holm p", "no worse", "detectable")
    body: list[Sequence[str]] = []
    for c in made.changes:
        if not c.enough or c.difference != c.difference:
            body.append((c.column, c.group, str(c.n), c.text(), *[""] * 6))
            continue
        body.append(
            (
                c.column,
                c.group,
                str(c.n),
                f"{c.a:.3f}",
                f"{c.b:.3f}",
                _with(f"{c.difference:+.3f}", c.low, c.high, "+"),
                _p(c.p),
                _p(c.p_holm),
                "yes" if c.no_worse else "not shown",
                _number(c.detectable),
            )
        )
    said = Markup("").join(
        Markup("<li>{}</li>").format(
            f"{g.column}: gap {g.gap_a:.3f} to {g.gap_b:.3f}, {g.difference:+.3f} ({g.low:+.3f} to {g.high:+.3f}), "
            f"p {_p(g.p)}; {g.reading}."
        )
        for g in made.gaps
    )
    worse = "shown for every group" if made.no_group_worse else "not shown"
    last = f"No group worse by more than {made.margin:g}: {worse}."
    return _table(head, body, f"Change in {metric_name(made.metric)}") + Markup("<ul>{}<li>{}</li></ul>").format(
        said, last
    )


def raters_fragment(made: RaterCheck) -> str:
    """The gap under each way to label the skin types."""
    head = ("labels", "n", f"gap in {metric_name(made.metric)}", "worst", "beyond chance", "conclusion")
    body = [
        (
            s.name,
            str(s.n),
            _with(f"{s.difference:.3f}", s.low, s.high),
            s.worst,
            "yes" if s.beyond_chance else "no",
            Markup("<strong>CHANGES</strong>") if s.changed else "stands",
        )
        for s in made.scenarios
    ]
    return _table(head, body)


def _groups(card: Card, column: str) -> list[Markup]:
    rows = (card.row(), *card.of(column))
    tables = []
    for caption, wanted in TABLES:
        metrics = [m for m in wanted if any(m in row.metrics for row in rows)]
        body = [
            (row.group, str(row.n), *(_estimate(row.metrics[m]) if m in row.metrics else "" for m in metrics))
            for row in rows
        ]
        tables.append(_table(("group", "n", *(metric_name(m, card) for m in metrics)), body, caption))
    return tables


def _classes(card: Card, column: str, metric: str) -> Markup:
    """A row a class, a column a group: there may be a hundred classes, and there are few groups."""
    rows = (card.row(), *card.of(column))

    def cell(row: Row, cls: str) -> Markup:
        n = row.n - row.positives[cls] if metric == "specificity" else row.positives[cls]
        return _estimate(row.metrics[f"{metric}:{cls}"]) + Markup('<span class="ci">n = {}</span>').format(n)

    body = [(cls, *(cell(row, cls) for row in rows)) for cls in card.classes]
    return _table(
        ("class", *(row.group for row in rows)),
        body,
        f"{metric_name(metric)} of each class, one against the rest; n: images "
        f"{'not of' if metric == 'specificity' else 'of'} the class",
    )


def _gaps(card: Card, column: str) -> Markup:
    head = ("gap in", "difference", "ratio", "worst", "best", "by chance: mean, up to", "p", "beyond chance")
    body = [
        (
            metric_name(g.metric, card),
            _with(f"{g.difference:.3f}", g.low, g.high),
            _number(g.ratio),
            f"{g.worst} {g.worst_value:.3f}",
            f"{g.best} {g.best_value:.3f}",
            f"{_number(g.null_mean)}, {_number(g.null_p95)}",
            _p(g.p),
            Markup("<strong>yes</strong>") if g.beyond_chance else "no",
        )
        for g in card.gaps
        if g.column == column and ":" not in g.metric
    ]
    return _table(
        head,
        body,
        "Largest difference between groups, beside what equal groups of these sizes show by "
        "chance (mean and 95th percentile of permutations)",
    )


def _crossed(card: Card, column: str) -> Markup:
    body = [
        (r.group, str(r.n), _estimate(r.metrics["accuracy"]), _estimate(r.shrunk) if r.shrunk else "")
        for r in card.of(column)
    ]
    return _table(("group", "n", "accuracy", "accuracy, shrunk towards the others"), body)


def _estimate(found: Estimate) -> Markup:
    """The value, and its interval under it."""
    value, _, rest = found.text().partition(" (")
    return Markup('{}<span class="ci">{}</span>').format(value, rest.rstrip(")"))


def _with(value: str, low: float, high: float, sign: str = "") -> Markup:
    return Markup('{}<span class="ci">{} to {}</span>').format(value, f"{low:{sign}.3f}", f"{high:{sign}.3f}")


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"


def _p(value: float) -> str:
    return "" if value != value else "<0.001" if value < 0.001 else f"{value:.3f}"


def _cells(kind: str, cells: Sequence[str]) -> Markup:
    return Markup("").join(Markup(f"<{kind}>") + escape(c) + Markup(f"</{kind.partition(' ')[0]}>") for c in cells)


def _table(head: Sequence[str], body: Sequence[Sequence[str]], caption: str = "") -> Markup:
    over = Markup("<caption>{}</caption>").format(caption) if caption else ""
    rows = Markup("").join(Markup("<tr>{}</tr>").format(_cells("td", row)) for row in body)
    return Markup('<div class="scroll"><table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>').format(
        over, _cells('th scope="col"', head), rows
    )
