"""Lines with bands: a score against the dose, the number of real images or the training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from evalsuite.page.svg import DASHES, MARKERS, PALETTE, as_svg, short, style


@dataclass(frozen=True)
class Curve:
    """One line: points (x, y, low, high)."""

    name: str
    points: Sequence[tuple[float, float, float, float]]


def plot_curves(
    curves: Sequence[Curve],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = True,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """Lines with bands: a metric against the dose or the number of real images; `marks` are vertical lines."""
    with style():
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        for place, curve in enumerate(curves):
            colour = PALETTE[place % len(PALETTE)]
            x, y, low, high = np.array(curve.points, float).reshape(-1, 4).T
            axes.plot(
                x,
                y,
                color=colour,
                marker=MARKERS[place % len(MARKERS)],
                markersize=4,
                linestyle=DASHES[place % len(DASHES)],
                label=short(curve.name, 60),
            )
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        for place_x, text in marks:
            axes.axvline(place_x, color="0.3", linewidth=1, linestyle="--")
            axes.annotate(text, (place_x, 1), xycoords=("data", "axes fraction"), fontsize=8, va="top", in_layout=False)
        if log_x:
            axes.set_xscale("symlog", linthresh=1)
            ticks = sorted({float(point[0]) for curve in curves for point in curve.points})
            axes.set_xticks(ticks, [f"{v:g}" for v in ticks])
            axes.minorticks_off()
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_title(title)
        if curves:
            axes.legend(fontsize=8).set_in_layout(False)
        told = "; ".join(f"{c.name}: " + ", ".join(f"{x:g} {y:.3f}" for x, y, *_ in c.points) for c in curves)
        return as_svg(figure, title, told)
