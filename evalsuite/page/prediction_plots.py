"""Curves of a table of predictions, by group: reliability and ROC."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.page.svg import DASHES, PALETTE, as_svg, short, style
from evalsuite.stats import calibration, intervals, resampling
from evalsuite.stats.estimate import NOT_ENOUGH

#: Groups in one plot; of more, the worst are drawn.
MOST = 10


def reliability(predictions: Predictions, column: str | None = None, least: int = 50, cls: str = "") -> str:
    """Accuracy against confidence in bins of equal counts, with Wilson intervals; a panel for each group.

    Of more than `MOST` groups those with the largest calibration errors are drawn.

    Parameters
    ----------
    cls
        Share of this class against its probability instead.
    """
    title = (f"Calibration for {short(cls)}" if cls else "Reliability") + (f" by {column}" if column else "")
    names, masks, which = worst(predictions, column, partial(_calibration_error, cls=cls, least=least))
    panels = [(name, predictions.take(mask), cls) for name, mask in zip(names, masks, strict=True)]
    return _panels(title + which, panels, least)


def calibration_by_class(predictions: Predictions, least: int = 50) -> str:
    """Share of each class against its probability, over all rows; a panel for each class, the first twelve of many."""
    panels = [(cls, predictions, cls) for cls in predictions.classes[:12]]
    return _panels("Calibration of each class", panels, least)


def _panels(title: str, panels: Sequence[tuple[str, Predictions, str]], least: int) -> str:
    across = min(len(panels), 3)
    down = math.ceil(len(panels) / across)
    told, of_class = [], bool(panels[0][2])
    with style():
        figure = Figure(figsize=(2.3 * across + 0.4, 2.2 * down + 0.4), layout="constrained")
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        for place, axes in enumerate(grid):
            if place >= len(panels):
                axes.set_visible(False)
                continue
            name, own, cls = panels[place]
            axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
            axes.set_title(short(name), fontsize=9)
            told.append(f"{name}: {_bins(axes, own, least, cls)}")
        figure.supxlabel("probability of the class" if of_class else "confidence")
        figure.supylabel("share of the class" if of_class else "accuracy")
        figure.suptitle(title)
        return as_svg(figure, title, "; ".join(told))


def roc(
    predictions: Predictions,
    column: str | None = None,
    cls: str | None = None,
    *,
    n_boot: int = 200,
    seed: int = 0,
    least: int = 10,
) -> str:
    """ROC curves of a class, or the mean over the classes; a line with a bootstrap band for each group.

    Of more than `MOST` groups those with the smallest areas are drawn.
    """
    grid, rng = np.linspace(0, 1, 101), np.random.default_rng(seed)
    names, masks, which = worst(predictions, column, partial(area_missed, cls=cls, least=least))
    title = f"ROC of {cls or 'the mean over classes'}" + (f" by {column}" if column else "") + which
    told = []
    with style():
        figure = Figure(figsize=(4.8, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
        for place, (name, mask) in enumerate(zip(names, masks, strict=True)):
            own = predictions.take(mask)
            if not _enough_for_roc(own, cls, least):
                axes.plot([], [], linestyle="none", label=f"{short(name)}: {NOT_ENOUGH}")
                told.append(f"{name}: {NOT_ENOUGH}")
                continue
            line, low, high = _roc_band(own, cls, grid, n_boot, rng)
            colour = PALETTE[place % len(PALETTE)]
            area = float(np.trapezoid(line, grid))
            axes.plot(
                grid, line, color=colour, linestyle=DASHES[place % len(DASHES)], label=f"{short(name)}: {area:.2f}"
            )
            axes.fill_between(grid, low, high, color=colour, alpha=0.12, linewidth=0)
            told.append(f"{name}: area {area:.3f}")
        axes.set_xlabel("1 - specificity")
        axes.set_ylabel("sensitivity")
        axes.set_title(title)
        axes.legend(loc="lower right", fontsize=8).set_in_layout(False)
        return as_svg(figure, title, "; ".join(told))


def worst(
    predictions: Predictions, column: str | None, badness: Callable[[Predictions], float]
) -> tuple[list[str], list[NDArray[np.bool_]], str]:
    """Names and rows of the groups of a column to draw, and words for the title; all rows as one without a column.

    Of more than `MOST` groups only the worst are drawn, in their order; a badness of NaN comes last.
    """
    if column is None:
        return ["all"], [np.ones(predictions.n, dtype=bool)], ""
    names = levels(predictions.groups[column])
    masks = [(predictions.groups[column] == name).to_numpy() for name in names]
    if len(names) <= MOST:
        return names, masks, ""
    order = np.argsort([-badness(predictions.take(mask)) for mask in masks], kind="stable")
    chosen = sorted(order[:MOST].tolist())
    words = f": the worst {MOST} of {len(names)}, in part by chance"
    return [names[place] for place in chosen], [masks[place] for place in chosen], words


def _bins(axes: Axes, own: Predictions, least: int, cls: str) -> str:
    """Draw the reliability of one group; returns it in words."""
    if own.n < least:
        axes.text(0.5, 0.5, f"{NOT_ENOUGH}\n({own.n} of {least})", ha="center", va="center", fontsize=8)
        return NOT_ENOUGH
    n, confidence, hits = _binned(own, cls)
    x = confidence / n
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
    return ", ".join(
        f"{'probability' if cls else 'confidence'} {a:.2f} {'share' if cls else 'accuracy'} {b:.2f}"
        for a, b in zip(x, y, strict=True)
    )


def _binned(own: Predictions, cls: str) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Rows, sum of the confidence and number of hits of each bin."""
    confidence, correct = own.probs.max(axis=1), own.predicted == own.labels
    if cls:
        confidence, correct = own.probs[:, own.classes.index(cls)], own.labels == own.classes.index(cls)
    bins = calibration.equal_mass_bins(confidence, most=10)
    n, said, hits = (np.bincount(bins, weights=each).astype(float) for each in (None, confidence, correct))
    return n, said, hits


def _calibration_error(own: Predictions, cls: str, least: int) -> float:
    """Without its bias, so that a small group is not worse for being small; NaN for too few images."""
    if own.n < least:
        return math.nan
    n, confidence, hits = _binned(own, cls)
    return float(calibration.ece(n[:, None], confidence[:, None], hits[:, None])[1][0])


def area_missed(own: Predictions, cls: str | None, least: int) -> float:
    """Area above the ROC curve of a class, or the mean over the classes; NaN for too few images."""
    if not _enough_for_roc(own, cls, least):
        return math.nan
    grid = np.linspace(0, 1, 101)
    chosen = [own.classes.index(cls)] if cls else range(len(own.classes))
    both = [i for i in chosen if 0 < (own.labels == i).sum() < own.n]
    lines = [_roc_lines(own.probs[:, i], own.labels == i, np.ones((own.n, 1)), grid)[0] for i in both]
    return 1 - float(np.trapezoid(np.mean(lines, axis=0), grid))


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
    weights = resampling.bootstrap_weights(rng, resampling.units(own.labels, codes), n_boot)
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
