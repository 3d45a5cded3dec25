"""Plots of a fairness card: the groups of a column, and the gaps between them, with their intervals."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from evalsuite.fairness.card import Card
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.page.svg import PALETTE, as_svg, short, style
from evalsuite.stats.estimate import NOT_ENOUGH


def forest(card: Card, column: str, metric: MetricKey = ACCURACY) -> str:
    """A dot and an interval for each group, the overall value as a line."""
    rows, whole = card.of(column), card.row()[metric]
    title = f"{card.label(metric)} by {column}"
    with style():
        figure = Figure(figsize=(6.4, 1.2 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(whole.value, color="0.4", linewidth=1, linestyle="--", label=f"all: {whole.value:.3f}")
        for place, row in enumerate(rows):
            estimate = row[metric]
            if not estimate.enough or not math.isfinite(estimate.value):
                axes.annotate(
                    estimate.text(),
                    (0.01, place),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    color="0.35",
                    style="italic",
                    in_layout=False,
                )
                continue
            axes.plot([estimate.low, estimate.high], [place, place], color=PALETTE[0], linewidth=2)
            axes.plot(estimate.value, place, marker="o", color=PALETTE[0])
            if row.shrunk is not None and metric == ACCURACY:
                axes.plot(row.shrunk.value, place, marker="D", markersize=4, color=PALETTE[1], fillstyle="none")
        axes.set_yticks(range(len(rows)), [f"{short(row.group)} (n={row[metric].n})" for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(f"{card.label(metric)}, {card.settings.confidence:.0%} interval")
        axes.set_title(title)
        figure.legend(loc="outside lower center", fontsize=8)
        told = "; ".join(f"{row.group}: {row[metric].text()}" for row in rows)
        return as_svg(figure, title, f"Forest plot. All: {whole.text()}. {told}.")


def gaps(card: Card, column: str) -> str:
    """Each gap with its interval; filled where p is at most 0.05, which is where the interval leaves 0 out."""
    chosen = [g for g in card.gaps if g.column == column and (not g.metric.cls or g.metric == card.primary)]
    title = f"Gaps by {column}"
    with style():
        figure = Figure(figsize=(7.4, 1.4 + 0.34 * max(len(chosen), 1)), layout="constrained")
        axes = figure.add_subplot()
        for place, gap in enumerate(chosen):
            axes.plot([gap.low, gap.high], [place, place], color=PALETTE[1], linewidth=2)
            axes.plot(
                min(gap.detectable, 1.0),
                place,
                marker="|",
                markersize=9,
                color="0.4",
                linestyle="none",
                label="would have been seen with a chance of 80 %" if place == 0 else None,
            )
            axes.plot(
                gap.difference,
                place,
                marker="D" if gap.beyond_chance else "o",
                color=PALETTE[1],
                linestyle="none",
                fillstyle="full" if gap.beyond_chance else "none",
                label="largest difference" if place == 0 else None,
            )
        axes.set_yticks(range(len(chosen)), [card.label(g.metric) for g in chosen])
        axes.set_ylim(max(len(chosen), 1) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("difference (filled: p of at most 0.05)")
        axes.set_title(title)
        if chosen:
            figure.legend(loc="outside lower center", ncols=2, fontsize=8)
        told = "; ".join(
            f"{card.label(g.metric)}: {g.difference:.3f} ({g.low:.3f} to {g.high:.3f}), p {g.p:.3f}, worst {g.worst}"
            for g in chosen
        )
        return as_svg(figure, title, told or NOT_ENOUGH)
