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
from evalsuite.page.section import Axis, Section, Status, Table, section, table
from evalsuite.stats.estimate import Array, Estimate

Pairs = Sequence[tuple[Features, Features]]
DIVERSITY = ("recall", "coverage", "Vendi")
TOLD = "real or synthetic"


@dataclass(frozen=True)
class QualityReport:
    """cells: one row a metric of a cell; utility: one row a linear-classifier measure; section: for the report."""

    cells: pd.DataFrame
    utility: pd.DataFrame
    section: Section


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


def _section(cells: pd.DataFrame, utility: pd.DataFrame) -> Section:
    text, status = verdict(cells, utility)
    tables = []
    for name in cells["extractor"].unique():
        tables += _tables_of(name, cells[cells["extractor"] == name], utility[utility["extractor"] == name])
    told, everyone = utility["metric"].str.startswith(TOLD), utility["family"] == "overall"
    axis: Axis
    for axis, caption, part in (
        ("fidelity", "Can a linear classifier tell real from synthetic? AUC, 0.5: no", utility[told & everyone]),
        ("utility", "Does what a linear classifier learns carry over? Balanced accuracy", utility[~told & everyone]),
    ):
        lines = [(row["metric"], row["n"], _estimate(row), row["note"]) for row in part.to_dict("records")]
        tables.append(table(axis, caption, pd.DataFrame(lines, columns=["metric", "n", "value", "remark"])))
    return section("Images", text, status, tables)


def _tables_of(name: str, cells: pd.DataFrame, utility: pd.DataFrame) -> list[Table]:
    """One extractor's: a row a cell, a column a metric."""
    diverse, none = cells["metric"].str.startswith(DIVERSITY), cells["metric"] == NONE
    by_group = cells["family"] == "group"
    whole = cells["family"].isin(["overall", "floor", "class", "strategy"])
    equal = f"{name}, at equal n in every cell of a family"
    tables: list[Table] = []
    axis: Axis
    for axis, word, kind in (("fidelity", "Fidelity", ~diverse), ("diversity", "Diversity", diverse | none)):
        caption = f'{word}, {equal}; "real against real" is what a perfect generator would score'
        tables += [
            table(axis, caption, by_cell(cells[kind & whole])),
            table("fairness", f"{word} by skin type, {equal}", by_cell(cells[kind & by_group])),
        ]
    tables.append(
        table(
            "fairness",
            f"Linear classifiers by skin type of the tested images, {name}: balanced accuracy, and the AUC of "
            "real or synthetic",
            by_cell(utility[utility["family"] == "group"]),
        )
    )
    return [t for t in tables if t["rows"]]


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
