"""What a card says first: whether the primary metric differs between groups, class by class, and what cannot be known.

The same sentences stand on the page, in a terminal and in a notebook.
"""

from __future__ import annotations

import math

import numpy as np

from evalsuite.fairness.card import Card, Gap
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.page.blocks import Cell, Table, p_value, value_and_rest
from evalsuite.stats import hypothesis_tests

#: Kinds of metrics that each class has by itself.
_OF_A_CLASS = ("sensitivity", "specificity", "auroc", "auprc")


def sentences(card: Card) -> list[str]:
    """The planned contrast where there is one, then each column; the first is the answer."""
    return [_column(card, column) for column in (*([card.contrast] if card.contrast else []), *card.columns)]


def exploratory(card: Card) -> str:
    """Other metrics whose groups differ; "" where none does."""
    first = card.columns[0]
    others = sorted(
        {
            card.label(g.metric)
            for g in card.gaps
            if g.column == first and g.metric != card.primary and not g.metric.cls and g.beyond_chance
        }
    )
    return (
        f"Also at p of at most 0.05 by {first}, not corrected for their number: {', '.join(others)}." if others else ""
    )


def numbers(card: Card) -> list[tuple[str, str, str]]:
    """The numbers that the answer rests on: what, value, interval."""
    column, found = card.contrast or card.columns[0], list[tuple[str, str, str]]()
    gap = card.primary_gap(column)
    if gap is not None:
        for what, group in (("worst", gap.worst), ("best", gap.best)) if not gap.tied else ():
            made = card.row(column, group)[card.primary]
            found.append((f"{what}: {group} (n = {made.n})", *value_and_rest(made.text())))
        found.append(("gap", f"{gap.difference:.3f}", f"{gap.low:.3f} to {gap.high:.3f}, p {_equals(gap.p)}"))
        found.append(("gap that would have been seen", f"{gap.detectable:.2f}", "with a chance of 80 %"))
    for metric in dict.fromkeys((card.primary, ACCURACY)):
        made = card.row()[metric]
        found.append((f"{card.label(metric)}, all {made.n} images", *value_and_rest(made.text())))
    return found


def by_class(card: Card, column: str) -> Table:
    """For each class, one against the rest: its worst and best group, their gap, and what it says."""
    is_primary = card.primary.kind in _OF_A_CLASS
    kind, planned = (card.primary, card.primary.cls) if is_primary else (MetricKey("sensitivity"), "")
    gaps = {cls: _gap(card, column, kind._replace(cls=cls)) for cls in card.all_classes}
    p = _holm(gaps, planned)
    rows = [_class_row(card, column, kind._replace(cls=cls), gap, p.get(cls, math.nan)) for cls, gap in gaps.items()]
    named = f"{planned} was named in advance, so" if planned else "None was named in advance:"
    return Table(
        ("class", "reading", "gap", "worst", "best", "p"),
        rows,
        f"{card.label(kind._replace(cls=''))} of each class by {column}. {named} the p of "
        f"{'the others' if planned else 'each'} is Holm's for their number; intervals are not corrected.",
    )


def _gap(card: Card, column: str, metric: MetricKey) -> Gap | None:
    return next((g for g in card.gaps if (g.column, g.metric) == (column, metric)), None)


def _holm(gaps: dict[str, Gap | None], planned: str) -> dict[str, float]:
    """The p of each class: as it is for the one that was named in advance, Holm's for the others."""
    others = [(cls, gap) for cls, gap in gaps.items() if gap is not None and cls != planned]
    adjusted = hypothesis_tests.holm(np.array([gap.p for _, gap in others]))
    found = {cls: float(p) for (cls, _), p in zip(others, adjusted, strict=True)}
    own = gaps.get(planned)
    return found | ({planned: own.p} if own is not None else {})


def _class_row(card: Card, column: str, metric: MetricKey, gap: Gap | None, p: float) -> tuple[str | Cell, ...]:
    if gap is None:
        counts = ", ".join(f"{r.group} {r.positives[metric.cls]}" for r in card.of(column))
        return metric.cls, f"cannot be determined: not enough images ({counts})", "", "", "", ""
    worst, best = (
        Cell(f"{group} {value:.3f}", [_interval(card, column, group, metric)])
        for group, value in ((gap.worst, gap.worst_value), (gap.best, gap.best_value))
    )
    if gap.tied:
        worst = best = Cell(f"all the same: {gap.worst_value:.3f}")
    between = Cell(f"{gap.difference:.3f}", [f"{gap.low:.3f} to {gap.high:.3f}"])
    return metric.cls, _reading(gap, p), between, worst, best, p_value(p)


def _reading(gap: Gap, p: float) -> str | Cell:
    if p <= 0.05:
        worse, value, better, other = gap.surest
        return Cell(f"{worse} {_worse(gap)} than {better} ({value:.3f}, {other:.3f})", bold=True)
    if gap.beyond_chance:
        return f"cannot be determined, given the number of classes (p {_equals(gap.p)} by itself)"
    return gap.undetermined()


def _interval(card: Card, column: str, group: str, metric: MetricKey) -> str:
    return f"{value_and_rest(card.row(column, group)[metric].text())[1]}; n = {card.row(column, group)[metric].n}"


def _column(card: Card, column: str) -> str:
    """The primary metric by a column, and which groups could not be judged."""
    gap, by = card.primary_gap(column), f"By {column}: " if column == card.contrast else f"By {column}, "
    label = card.label(card.primary)
    if gap is None:
        few = [r.group for r in card.of(column) if not r[card.primary].known]
        return f"{by}whether {label} differs cannot be determined: fewer than two groups have enough data" + _lacking(
            card, column, few
        )
    ends = (
        f"the same for all that were judged ({gap.worst_value:.3f}), "
        if gap.tied
        else f"{'highest' if gap.metric.lower_is_better else 'lowest'} for {gap.worst} ({gap.worst_value:.3f}) and "
        f"{'lowest' if gap.metric.lower_is_better else 'highest'} for {gap.best} ({gap.best_value:.3f}), "
    )
    ends += f"a gap of {gap.difference:.3f} ({gap.low:.3f} to {gap.high:.3f}), p {_equals(gap.p)}"
    lacking = _lacking(card, column, gap.left_out)
    if not gap.beyond_chance:
        return f"{by}whether {label} differs {gap.undetermined()}. It is {ends}{lacking}"
    worse, value, better, other = gap.surest
    surest = ""
    if (worse, better) != (gap.worst, gap.best):
        surest = f"; the surest difference is that of {worse} ({value:.3f}) from {better} ({other:.3f})"
    return f"{by}{label} differs: {ends}{surest}{lacking}"


def _lacking(card: Card, column: str, groups: list[str] | tuple[str, ...]) -> str:
    """Groups that took no part, with the images that the metric has of them."""
    if not groups:
        return "."
    said = ", ".join(f"{group} (n = {card.row(column, group)[card.primary].n})" for group in groups)
    return f". Not judged: {said}."


def _worse(gap: Gap) -> str:
    return "higher" if gap.metric.lower_is_better else "lower"


def _equals(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
