"""Lines with bands: a score against the dose, the number of real images or the training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from evalsuite.page.svg import DASHES, MARKERS, PALETTE, as_svg, short, style


@dataclass(frozen=True)
class Curve:
    """One line of `doses`: points with an interval each."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


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
    with style():
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
                label=short(curve.name, 60),
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
        return as_svg(figure, title, told)
