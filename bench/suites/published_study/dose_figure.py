"""The dose-response curve of a repetition, and its answer in a sentence, from the small tables that are committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.suites.published_study.settings import IN_WORDS
from evalsuite.page.svg import DASHES, MARKERS, PALETTE, as_svg, style
from evalsuite.stats.estimate import points
from evalsuite.study.arm_scores import ALL

REFERENCE = 10.0  # the dose that the published study names
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
    """

    gains: pd.DataFrame
    scores: pd.DataFrame
    margin: float

    @classmethod
    def read(cls, folder: Path, margin: float) -> DoseTables:
        """Of a folder with gains.csv and scores.csv."""
        gains, scores = (pd.read_csv(folder / f"{name}.csv") for name in ("gains", "scores"))
        return cls(gains[gains["group"] == ALL], scores[scores["group"] == ALL], margin)

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
    return " ".join(f"Generators {IN_WORDS[base]}: {_clauses(tables)}." for base, tables in bases.items())


def _clauses(tables: DoseTables) -> str:
    at_ten = tables.gains[tables.gains["ratio"] == REFERENCE]
    clauses = []
    for size in tables.sizes:
        rows = at_ten.loc[at_ten["size"] == size, ["strategy", "value", "low", "high", "verdict"]].to_numpy()
        brought = [f"by {strategy} {_change(numbers, verdict)}" for strategy, *numbers, verdict in rows]
        every = tables.of_all_real(size)
        real = "" if np.isnan(every) else f"; all real images change it by {100 * every:+.1f}"
        clauses.append(
            f"with {size} real images of each class, ten synthetic ones for each of them change accuracy, "
            f"{', '.join(brought)} points{real}"
        )
    return "; ".join(clauses)


def _change(numbers: Sequence[float], verdict: str) -> str:
    change, between = points(*numbers)
    return f"{change} ({between}{'' if verdict == 'helps' else f', {verdict}'})"


def draw(bases: Mapping[str, DoseTables]) -> str:
    """An SVG: a row of panels for each base, a panel for each strategy, a line with its 95 % band for each size."""
    strategies = list(dict.fromkeys(name for tables in bases.values() for name in tables.gains["strategy"]))
    with style():
        figure = Figure(figsize=(WIDTH * len(strategies), HEIGHT * len(bases) + 0.3), layout="constrained")
        panels = figure.subplots(len(bases), len(strategies), squeeze=False, sharey=True)
        for row, (base, tables) in zip(panels, bases.items(), strict=True):
            for panel, strategy in zip(row, strategies, strict=True):
                _panel(panel, tables, strategy)
                panel.set_title(f"{strategy}; generators {IN_WORDS[base]}", fontsize=7)
            row[0].set_ylabel("change of accuracy in points")
        for panel in panels[-1]:
            panel.set_xlabel("synthetic images for each real one")
        panels[0][0].legend(fontsize=7, loc="best").set_in_layout(False)
        return as_svg(figure, TITLE, answer(bases))


def _panel(axes: Axes, tables: DoseTables, strategy: str) -> None:
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.axhspan(-100 * tables.margin, 100 * tables.margin, color="0.9", zorder=0)
    for place, size in enumerate(tables.sizes):
        mine = tables.gains[(tables.gains["strategy"] == strategy) & (tables.gains["size"] == size)].sort_values(
            "ratio"
        )
        x = np.concatenate([[0.0], mine["ratio"]])
        y, low, high = (np.concatenate([[0.0], 100 * mine[name]]) for name in ("value", "low", "high"))
        colour, look = PALETTE[place % len(PALETTE)], DASHES[place % len(DASHES)]
        marker = MARKERS[place % len(MARKERS)]
        axes.plot(x, y, color=colour, linestyle=look, marker=marker, markersize=4, label=f"{size} real of each class")
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        if not np.isnan(every := 100 * tables.of_all_real(size)):
            axes.axhline(every, color=colour, linestyle=(0, (1, 2)), label=f"all real images, compared with {size}")
    axes.set_xscale("symlog", linthresh=1)
    ticks = [0.0, *sorted(float(ratio) for ratio in tables.gains["ratio"].unique())]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlim(0, 1.1 * ticks[-1])
    axes.minorticks_off()
