"""Several extractors' tables put together, with a verdict: fidelity, diversity, utility."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evalsuite.images.features.features import Features
from evalsuite.images.quality.cells import NONE, quality_table
from evalsuite.images.quality.prdc import distances
from evalsuite.images.quality.utility import utility_table
from evalsuite.page.blocks import Plot, Table, Thumbnails
from evalsuite.page.measurement import Axis, Measurement, Status, frame_table
from evalsuite.stats.estimate import Estimate
from evalsuite.stats.resampling import Array

Pairs = Sequence[tuple[Features, Features]]
DIVERSITY = ("recall", "coverage", "Vendi")
TOLD = "real or synthetic"


@dataclass(frozen=True)
class QualityReport:
    """cells: one row a metric of a cell; utility: one row a linear-classifier measure; section: for the report."""

    cells: pd.DataFrame
    utility: pd.DataFrame
    section: Measurement


def quality_report(pairs: Pairs, *, max_n: int = 5000, seed: int = 0, resamples: int = 100) -> QualityReport:
    """Measure (real, synthetic) features of one or more extractors."""
    cells = pd.concat(
        [
            quality_table(r, s, max_n=max_n, seed=seed, resamples=resamples).assign(extractor=r.extractor.name)
            for r, s in pairs
        ],
        ignore_index=True,
    )
    utility = pd.concat(
        [utility_table(r, s, max_n=max_n, seed=seed).assign(extractor=r.extractor.name) for r, s in pairs],
        ignore_index=True,
    )
    return QualityReport(cells, utility, _section(cells, utility))


def per_image_table(pairs: Pairs) -> pd.DataFrame:
    """One row a synthetic image: id and, for each extractor, the distance to its nearest real image."""
    frame = pairs[0][1].frame[["id", "class", "group", "strategy"]].copy()
    for real, synthetic in pairs:
        frame[f"nearest_real[{real.extractor.name}]"] = _nearest(synthetic.values, real.values)
    return frame


def _nearest(queries: Array, known: Array, block: int = 1024) -> Array:
    """Distance of each query to its nearest known feature, [n]; memory holds two blocks."""
    best = np.full(len(queries), np.inf)
    for i in range(0, len(queries), block):
        for j in range(0, len(known), block):
            part = distances(queries[i : i + block], known[j : j + block]).min(1)
            best[i : i + block] = np.minimum(best[i : i + block], part)
    return best


def _section(cells: pd.DataFrame, utility: pd.DataFrame) -> Measurement:
    text, status = verdict(cells, utility)
    shown: dict[Axis, list[Table | Plot | Thumbnails]] = {}
    for name in cells["extractor"].unique():
        for axis, made in _tables_of(name, cells[cells["extractor"] == name], utility[utility["extractor"] == name]):
            shown.setdefault(axis, []).append(made)
    told, everyone = utility["metric"].str.startswith(TOLD), utility["family"] == "overall"
    parts: tuple[tuple[Axis, str, pd.DataFrame], ...] = (
        ("fidelity", "Can a linear classifier tell real from synthetic? AUC, 0.5: no", utility[told & everyone]),
        ("utility", "Does what a linear classifier learns carry over? Balanced accuracy", utility[~told & everyone]),
    )
    for axis, caption, part in parts:
        lines = [(row["metric"], row["n"], _estimate(row), row["note"]) for row in part.to_dict("records")]
        frame = pd.DataFrame(lines, columns=["metric", "n", "value", "remark"])
        shown.setdefault(axis, []).append(frame_table(frame, caption))
    return Measurement("Images", text, status, shown)


def _tables_of(name: str, cells: pd.DataFrame, utility: pd.DataFrame) -> list[tuple[Axis, Table]]:
    """One extractor's tables: a row for each cell, a column for each metric."""
    diverse, none = cells["metric"].str.startswith(DIVERSITY), cells["metric"] == NONE
    by_group = cells["family"] == "group"
    whole = cells["family"].isin(["overall", "floor", "class", "strategy"])
    equal = f"{name}, at equal n in every cell of a family"
    tables: list[tuple[Axis, Table]] = []
    axis: Axis
    for axis, word, kind in (("fidelity", "Fidelity", ~diverse), ("diversity", "Diversity", diverse | none)):
        caption = f'{word}, {equal}; "real against real" is what a perfect generator would score'
        tables += [
            (axis, frame_table(by_cell(cells[kind & whole]), caption)),
            ("fairness", frame_table(by_cell(cells[kind & by_group]), f"{word} by skin type, {equal}")),
        ]
    caption = (
        f"Linear classifiers by skin type of the tested images, {name}: balanced accuracy, and the AUC of "
        "real or synthetic"
    )
    tables.append(("fairness", frame_table(by_cell(utility[utility["family"] == "group"]), caption)))
    return [(axis, made) for axis, made in tables if made.rows]


def by_cell(long: pd.DataFrame) -> pd.DataFrame:
    """One row a cell: n, a column a metric (text, with interval), and why values are missing."""
    metrics = [m for m in long["metric"].unique() if m != NONE]
    records = []
    for (_, cell), part in long.groupby(["family", "cell"], sort=False):
        values = {row["metric"]: _estimate(row) for row in part.to_dict("records")}
        few, many = part["n"].min(), part["n"].max()
        records.append(
            {
                "cell": cell,
                "n": f"{few}" if few == many else f"{few} to {many}",
                **{m: values.get(m, float("nan")) for m in metrics},
                "remark": "; ".join(str(note) for note in part["note"].unique() if note),
            }
        )
    return pd.DataFrame(records)


def _estimate(row: dict[Hashable, Any]) -> str:
    return Estimate(row["value"], row["low"], row["high"], row["n"]).text(3, "g")


def verdict(cells: pd.DataFrame, utility: pd.DataFrame) -> tuple[str, Status]:
    """A sentence about the first extractor and a status: the kernel distance, then the discriminator."""
    overall = cells[(cells["family"] == "overall")]
    kernel = overall[overall["metric"].str.startswith(("KD", "KID"))]
    told = utility[utility["metric"].str.startswith(TOLD) & (utility["family"] == "overall")]
    if kernel.empty or np.isnan(kernel.iloc[0]["value"]):
        return "Not enough images of each side to judge fidelity.", "unknown"
    first = kernel.iloc[0]
    text = f"{first['metric']} is {first['value']:.3g} ({first['low']:.3g} to {first['high']:.3g}), n = {first['n']}. "
    if told.empty or np.isnan(told.iloc[0]["value"]):
        return text, "unknown"
    auc = told.iloc[0]
    text += f"A linear classifier tells real from synthetic with an AUC of {auc['value']:.2f} "
    text += f"({auc['low']:.2f} to {auc['high']:.2f}; 0.5: not at all)."
    return text, "good" if auc["low"] <= 0.5 else "warn" if auc["value"] < 0.9 else "bad"
