"""The decision curve of the positive classes: a panel for each group."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evalsuite.fairness.decision_curve import THRESHOLDS, DecisionCurve, at_prevalence, decision_curve
from evalsuite.fairness.predictions import Predictions
from evalsuite.page.prediction_plots import area_missed, worst
from evalsuite.page.svg import PALETTE, as_svg, short, style
from evalsuite.stats.estimate import NOT_ENOUGH


def decision_curves(
    predictions: Predictions, cls: str, column: str | None = None, *, prevalence: float | None = None, least: int = 10
) -> str:
    """Net benefit against the threshold, with its 95 % band, beside acting on all and on none.

    Parameters
    ----------
    cls
        The class that is acted on.
    prevalence
        Its share where the classifier is used, to which probabilities are moved; None: that of each group.
    least
        Images of the class, and of the others, that a group needs.
    """
    names, masks, which = worst(predictions, column, partial(area_missed, cls=cls, least=least))
    index = predictions.classes.index(cls)
    chance = predictions.probs[:, index]
    if prevalence is not None:
        chance = at_prevalence(chance, float((predictions.labels == index).mean()), prevalence)
    across = min(len(names), 3)
    down = math.ceil(len(names) / across)
    at = "each group's own prevalence" if prevalence is None else f"a prevalence of {prevalence:g}"
    title, told = f"Decision curve for {short(cls)}" + (f" by {column}" if column else "") + f", at {at}{which}", []
    with style():
        figure = Figure(figsize=(2.4 * across + 0.6, 2.1 * down + 0.9), layout="constrained")
        grid = figure.subplots(down, across, sharex=True, squeeze=False).ravel()
        for place, axes in enumerate(grid):
            if place >= len(names):
                axes.set_visible(False)
                continue
            axes.set_title(short(names[place]), fontsize=9)
            own = predictions.take(masks[place])
            told.append(f"{names[place]}: {_panel(axes, own, chance[masks[place]], cls, prevalence, least)}")
        for axes in grid[max(0, len(names) - across) : len(names)]:
            axes.set_xlabel("probability from which one acts", fontsize=8)
            axes.tick_params(labelbottom=True)
        figure.supylabel("net benefit per image")
        figure.suptitle(title, fontsize=9)
        drawn = [axes for axes in grid if axes.lines]
        if drawn:
            figure.legend(*drawn[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
        return as_svg(figure, title, "; ".join(told))


def _panel(
    axes: Axes, own: Predictions, chance: NDArray[np.floating], cls: str, prevalence: float | None, least: int
) -> str:
    """Draw one group; returns it in words."""
    positive = own.labels == own.classes.index(cls)
    if min(int(positive.sum()), int((~positive).sum())) < least:
        n = int(positive.sum())
        axes.text(0.5, 0.5, f"{NOT_ENOUGH}\n({n} of {cls})", ha="center", va="center", transform=axes.transAxes)
        return NOT_ENOUGH
    share = float(positive.mean()) if prevalence is None else prevalence
    curve = decision_curve(
        chance,
        positive,
        prevalence=prevalence,
        clusters=own.cluster_codes,
        weights=own.weights,
        thresholds=THRESHOLDS * min(1.0, max(0.1, 4 * share)),
    )
    _draw(axes, curve)
    shown = [f"at {curve.thresholds[i]:.1%} {curve.net_benefit[i]:.4f}" for i in (9, 29, 59)]
    return f"net benefit {', '.join(shown)}"


def _draw(axes: Axes, curve: DecisionCurve) -> None:
    axes.plot(curve.thresholds, curve.net_benefit, color=PALETTE[0], label="acting on the prediction")
    axes.fill_between(curve.thresholds, curve.low, curve.high, color=PALETTE[0], alpha=0.15, linewidth=0)
    axes.plot(curve.thresholds, curve.treat_all, color=PALETTE[1], linestyle="--", label="acting on all")
    axes.axhline(0, color="0.3", linewidth=1, linestyle=":", label="acting on none")
    axes.set_ylim(-0.3 * curve.prevalence, 1.15 * curve.prevalence)
    axes.set_xlim(0, float(curve.thresholds[-1]))
