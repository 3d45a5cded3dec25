"""Plots as SVG text to put straight into a page: no files, no network, readable in grey and by a screen reader.

Okabe & Ito's palette, with a marker and a line style each, so that colour never carries the meaning alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evalsuite.fairness.card import NOT_ENOUGH, Card, metric_name
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.stats import calibration, intervals, resample

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Curve:
    """One line of `doses`: points with an interval each."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def forest(card: Card, column: str, metric: str = "accuracy") -> str:
    """A dot and an interval for each group, the overall value as a line."""
    rows, whole = card.of(column), card.row().metrics[metric]
    title = f"{metric_name(metric, card)} by {column}"
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.2 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(whole.value, color="0.4", linewidth=1, linestyle="--", label=f"all: {whole.value:.3f}")
        for place, row in enumerate(rows):
            estimate = row.metrics[metric]
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
            if row.shrunk is not None and metric == "accuracy":
                axes.plot(row.shrunk.value, place, marker="D", markersize=4, color=PALETTE[1], fillstyle="none")
        axes.set_yticks(range(len(rows)), [f"{_short(row.group)} (n={row.n})" for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(f"{metric_name(metric, card)}, {card.settings['confidence']:.0%} interval")
        axes.set_title(title)
        figure.legend(loc="outside lower center", fontsize=8)
        told = "; ".join(f"{row.group}: {row.metrics[metric].text()}" for row in rows)
        return _svg(figure, title, f"Forest plot. All: {whole.text()}. {told}.")


def gaps(card: Card, column: str, metrics: Sequence[str] | None = None) -> str:
    """Each gap with its interval, against what chance alone would show."""
    chosen = [g for g in card.gaps if g.column == column and (g.metric in metrics if metrics else ":" not in g.metric)]
    title = f"Gaps by {column}, and the null gap"
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 1.4 + 0.34 * max(len(chosen), 1)), layout="constrained")
        axes = figure.add_subplot()
        for place, gap in enumerate(chosen):
            axes.barh(
                place,
                gap.null_p95,
                color="0.85",
                height=0.7,
                label="chance, up to its 95th percentile" if place == 0 else None,
            )
            axes.plot([gap.low, gap.high], [place, place], color=PALETTE[1], linewidth=2)
            axes.plot(
                gap.difference,
                place,
                marker="D" if gap.beyond_chance else "o",
                color=PALETTE[1],
                linestyle="none",
                fillstyle="full" if gap.beyond_chance else "none",
                label="largest difference" if place == 0 else None,
            )
        axes.set_yticks(range(len(chosen)), [metric_name(g.metric, card) for g in chosen])
        axes.set_ylim(max(len(chosen), 1) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("difference (filled: beyond chance)")
        axes.set_title(title)
        if chosen:
            figure.legend(loc="outside lower center", ncols=2, fontsize=8)
        told = "; ".join(
            f"{metric_name(g.metric, card)}: {g.difference:.3f} ({g.low:.3f} to {g.high:.3f}), chance up to "
            f"{g.null_p95:.3f}, worst {g.worst}"
            for g in chosen
        )
        return _svg(figure, title, told or NOT_ENOUGH)


def reliability(predictions: Predictions, column: str | None = None, least: int = 50) -> str:
    """Accuracy against confidence in bins of equal counts, a panel a group, with Wilson intervals."""
    names, masks = _split(predictions, column)
    across = min(len(names), 3)
    down = math.ceil(len(names) / across)
    title = "Reliability" + (f" by {column}" if column else "")
    told = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.3 * across + 0.4, 2.2 * down + 0.4), layout="constrained")
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        for place, axes in enumerate(grid):
            if place >= len(names):
                axes.set_visible(False)
                continue
            axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
            axes.set_title(_short(names[place]), fontsize=9)
            told.append(f"{names[place]}: {_bins(axes, predictions.take(masks[place]), least)}")
        figure.supxlabel("confidence")
        figure.supylabel("accuracy")
        figure.suptitle(title)
        return _svg(figure, title, "; ".join(told))


def roc(
    predictions: Predictions,
    column: str | None = None,
    cls: str | None = None,
    *,
    n_boot: int = 200,
    seed: int = 0,
    least: int = 10,
) -> str:
    """ROC curves of a class, or the mean over the classes, a line a group with a bootstrap band."""
    names, masks = _split(predictions, column)
    grid, rng = np.linspace(0, 1, 101), np.random.default_rng(seed)
    title = f"ROC of {cls or 'the mean over classes'}" + (f" by {column}" if column else "")
    told = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
        for place, (name, mask) in enumerate(zip(names, masks, strict=True)):
            own = predictions.take(mask)
            if not _enough_for_roc(own, cls, least):
                axes.plot([], [], linestyle="none", label=f"{_short(name)}: {NOT_ENOUGH}")
                told.append(f"{name}: {NOT_ENOUGH}")
                continue
            line, low, high = _roc_band(own, cls, grid, n_boot, rng)
            colour = PALETTE[place % len(PALETTE)]
            area = float(np.trapezoid(line, grid))
            axes.plot(
                grid, line, color=colour, linestyle=DASHES[place % len(DASHES)], label=f"{_short(name)}: {area:.2f}"
            )
            axes.fill_between(grid, low, high, color=colour, alpha=0.12, linewidth=0)
            told.append(f"{name}: area {area:.3f}")
        axes.set_xlabel("1 - specificity")
        axes.set_ylabel("sensitivity")
        axes.set_title(title)
        axes.legend(loc="lower right", fontsize=8).set_in_layout(False)
        return _svg(figure, title, "; ".join(told))


def doses(
    curves: Sequence[Curve],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = True,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """Lines with bands: a metric against the dose or the number of real images; `marks` are vertical lines."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        for place, curve in enumerate(curves):
            colour = PALETTE[place % len(PALETTE)]
            axes.plot(
                curve.x,
                curve.y,
                color=colour,
                marker=MARKERS[place % len(MARKERS)],
                markersize=4,
                linestyle=DASHES[place % len(DASHES)],
                label=_short(curve.name, 60),
            )
            axes.fill_between(
                np.asarray(curve.x),
                np.asarray(curve.low),
                np.asarray(curve.high),
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
        for x, text in marks:
            axes.axvline(x, color="0.3", linewidth=1, linestyle="--")
            axes.annotate(text, (x, 1), xycoords=("data", "axes fraction"), fontsize=8, va="top", in_layout=False)
        if log_x:
            axes.set_xscale("symlog", linthresh=1)
            ticks = sorted({float(v) for curve in curves for v in curve.x})
            axes.set_xticks(ticks, [f"{v:g}" for v in ticks])
            axes.minorticks_off()
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_title(title)
        if curves:
            axes.legend(fontsize=8).set_in_layout(False)
        told = "; ".join(
            f"{c.name}: " + ", ".join(f"{x:g} {y:.3f}" for x, y in zip(c.x, c.y, strict=True)) for c in curves
        )
        return _svg(figure, title, told)


def _short(name: str, most: int = 28) -> str:
    """A name as it is drawn: one of a hundred letters would leave the axes no room. It is whole in the description."""
    return name if len(name) <= most else name[: most - 1] + "…"


def _split(predictions: Predictions, column: str | None) -> tuple[list[str], list[NDArray[np.bool_]]]:
    if column is None:
        return ["all"], [np.ones(predictions.n, dtype=bool)]
    names = levels(predictions.groups[column])
    return names, [(predictions.groups[column] == name).to_numpy() for name in names]


def _bins(axes: Axes, own: Predictions, least: int) -> str:
    """Draw one group's reliability; tell it in words."""
    if own.n < least:
        axes.text(0.5, 0.5, f"{NOT_ENOUGH}\n({own.n} of {least})", ha="center", va="center", fontsize=8)
        return NOT_ENOUGH
    confidence, correct = own.probs.max(axis=1), own.probs.argmax(axis=1) == own.labels
    bins = calibration.equal_mass_bins(confidence, most=10)
    n = np.bincount(bins)
    x, hits = np.bincount(bins, weights=confidence) / n, np.bincount(bins, weights=correct)
    bounds = np.array([intervals.wilson(h, m) for h, m in zip(hits, n, strict=True)])
    y = hits / n
    axes.errorbar(
        x,
        y,
        yerr=np.stack([y - bounds[:, 0], bounds[:, 1] - y]),
        color=PALETTE[0],
        marker="o",
        markersize=3,
        linewidth=1,
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return ", ".join(f"confidence {a:.2f} accuracy {b:.2f}" for a, b in zip(x, y, strict=True))


def _enough_for_roc(own: Predictions, cls: str | None, least: int) -> bool:
    counts = np.bincount(own.labels, minlength=len(own.classes))
    if cls is None:
        return int(counts.sum()) >= 3 * least and int((counts > 0).sum()) > 1
    positives = int(counts[own.classes.index(cls)])
    return min(positives, own.n - positives) >= least


def _roc_band(
    own: Predictions, cls: str | None, grid: NDArray[np.floating], n_boot: int, rng: np.random.Generator
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """The curve and its pointwise 95 % band over the grid of false positive rates."""
    codes = None if own.clusters is None else np.unique(own.clusters, return_inverse=True)[1]
    weights = resample.bootstrap_weights(rng, resample.units(own.labels, codes), n_boot)
    weights = np.concatenate([np.ones((own.n, 1)), weights], axis=1)
    chosen = (
        [own.classes.index(cls)] if cls else [i for i in range(len(own.classes)) if 0 < (own.labels == i).sum() < own.n]
    )
    curves = np.mean([_roc_lines(own.probs[:, i], own.labels == i, weights, grid) for i in chosen], axis=0)
    low, high = np.quantile(curves[1:], [0.025, 0.975], axis=0)
    return curves[0], low, high


def _roc_lines(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: NDArray[np.floating], grid: NDArray[np.floating]
) -> NDArray[np.floating]:
    """True positive rate at each false positive rate of the grid, [b, grid]; ties as diagonals."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    w, is_positive = weights[order], positive[order][:, None]
    true = np.cumsum(w * is_positive, axis=0)[ends]
    false = np.cumsum(w * ~is_positive, axis=0)[ends]
    return np.stack(
        [np.interp(grid, np.r_[0, f / f[-1]], np.r_[0, t / t[-1]]) for t, f in zip(true.T, false.T, strict=True)]
    )


def _svg(figure: Figure, title: str, description: str) -> str:
    """The figure as an <svg> element with a name and a description for screen readers."""
    buffer = StringIO()
    with mpl.rc_context({"svg.hashsalt": title}):  # equal input, equal bytes; and ids of two plots do not meet
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    label = escape(f"{title}. {description}", quote=True)
    text = text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    head = text.index(">") + 1
    return f"{text[:head]}<title>{escape(title)}</title><desc>{escape(description)}</desc>{text[head:]}"
