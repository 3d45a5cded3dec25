"""The dose-response curve of a repetition, and its answer in a sentence, from the small tables that are committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.suites.published_study.settings import IN_WORDS
from evalsuite.page.svg import DASHES, MARKERS, PALETTE, as_svg, style
from evalsuite.stats.estimate import points
from evalsuite.study.arm_scores import ALL
from evalsuite.study.names import Metric
from evalsuite.study.outcomes import in_words

REFERENCE = 10.0  # the dose that the published study names
UNTOLD = "cannot be determined"
WIDTH, HEIGHT = 3.1, 3.0  # inches of a panel
TITLE = "What synthetic images bring, by dose"


@dataclass(frozen=True)
class DoseTables:
    """Gains and scores of one base, of all images together.

    Attributes
    ----------
    gains
        A row for each strategy, size and ratio: value, low, high, verdict.
    scores
        A row for each kind of arm.
    margin
        Differences up to this do not matter.
    outcome
        What the gains are of, in words.
    """

    gains: pd.DataFrame
    scores: pd.DataFrame
    margin: float
    outcome: str = "accuracy"

    @classmethod
    def read(cls, folder: Path, margin: float, metric: Metric) -> DoseTables:
        """Of a folder with gains.csv and scores.csv."""
        gains, scores = (pd.read_csv(folder / f"{name}.csv") for name in ("gains", "scores"))
        return cls(gains[gains["group"] == ALL], scores[scores["group"] == ALL], margin, in_words(metric))

    @property
    def sizes(self) -> list[int]:
        return sorted(int(size) for size in self.gains["size"].unique())

    def of_all_real(self, size: int) -> float:
        """What all real images bring over so many of each class; NaN if that arm was not trained."""
        by = {kind: self.scores[self.scores["kind"] == kind] for kind in ("real", "all-real")}
        few, every = by["real"].loc[by["real"]["size"] == size, "score"], by["all-real"]["score"]
        return float(every.iloc[0] - few.iloc[0]) if len(few) and len(every) else float("nan")


def answer(bases: Mapping[str, DoseTables]) -> str:
    """What came out at ten synthetic images to one real, with 95 % intervals: a sentence for each base."""
    return " ".join(_sentence(base, tables, size) for base, tables in bases.items() for size in tables.sizes)


def _sentence(base: str, tables: DoseTables, size: int) -> str:
    which = (tables.gains["ratio"] == REFERENCE) & (tables.gains["size"] == size)
    rows = tables.gains.loc[which, ["strategy", "value", "low", "high", "verdict"]].to_numpy()
    with_them = f"With {size} real images of each class and generators {IN_WORDS[base]}"
    if not len(rows):
        return f"{with_them}, ten synthetic images for each real one were not measured."
    every = tables.of_all_real(size)
    real = "" if np.isnan(every) else f". All real images bring {100 * every:+.1f}"
    brought = "; ".join(_change(strategy, numbers, verdict) for strategy, *numbers, verdict in rows)
    return f"{with_them}, ten synthetic images for each real one change {tables.outcome} in points: {brought}{real}."


def _change(strategy: str, numbers: Sequence[float], verdict: str) -> str:
    change, between = points(*numbers)
    _, low, high = numbers
    corrected = " after the correction for many questions" if verdict == UNTOLD and low * high > 0 else ""
    return f"{strategy} {change} ({between}), {verdict}{corrected}"


def draw(bases: Mapping[str, DoseTables]) -> str:
    """An SVG: a row of panels for each base, a panel for each strategy, a line with its 95 % band for each size."""
    strategies = list(dict.fromkeys(name for tables in bases.values() for name in tables.gains["strategy"]))
    with style():
        figure = Figure(figsize=(WIDTH * len(strategies), HEIGHT * len(bases) + 0.5), layout="constrained")
        panels = figure.subplots(len(bases), len(strategies), squeeze=False, sharey=True)
        for row, (base, tables) in zip(panels, bases.items(), strict=True):
            for panel, strategy in zip(row, strategies, strict=True):
                _panel(panel, tables, strategy)
                panel.set_title(f"{strategy}\ngenerators {IN_WORDS[base]}", fontsize=7.5)
            row[0].set_ylabel(f"change of {tables.outcome} in points")
        for panel in panels[-1]:
            panel.set_xlabel("synthetic images for each real one")
        hollow = Line2D([], [], linestyle="", marker="o", markersize=4, color="0.3", markerfacecolor="white")
        handles, labels = panels[0][0].get_legend_handles_labels()
        handles, labels = [*handles, hollow], [*labels, "hollow: a gain cannot be determined"]
        figure.legend(handles, labels, fontsize=7, loc="outside lower center", ncols=4)
        return as_svg(figure, TITLE, answer(bases))


def _panel(axes: Axes, tables: DoseTables, strategy: str) -> None:
    axes.axhline(0, color="0.3", linewidth=0.8)
    within = 100 * tables.margin
    axes.axhspan(-within, within, color="0.9", zorder=0, label="differences that do not matter")
    for place, size in enumerate(tables.sizes):
        mine = tables.gains[(tables.gains["strategy"] == strategy) & (tables.gains["size"] == size)].sort_values(
            "ratio"
        )
        x = np.concatenate([[0.0], mine["ratio"]])
        y, low, high = (np.concatenate([[0.0], 100 * mine[name]]) for name in ("value", "low", "high"))
        colour, look = PALETTE[place % len(PALETTE)], DASHES[place % len(DASHES)]
        marker = MARKERS[place % len(MARKERS)]
        told = np.array([True, *(verdict != UNTOLD for verdict in mine["verdict"])])
        axes.plot(x, y, color=colour, linestyle=look, label=f"{size} real of each class, 95 % band")
        for which, fill in ((told, colour), (~told, "white")):
            axes.plot(x[which], y[which], linestyle="", marker=marker, markersize=4, color=colour, markerfacecolor=fill)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        if not np.isnan(every := 100 * tables.of_all_real(size)):
            axes.axhline(every, color=colour, linestyle=(0, (1, 2)), label=f"all real images instead of {size}")
    axes.set_xscale("symlog", linthresh=1)
    ticks = [0.0, *sorted(float(ratio) for ratio in tables.gains["ratio"].unique())]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlim(0, 1.1 * ticks[-1])
    axes.minorticks_off()
