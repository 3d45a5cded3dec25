"""Several extractors' tables put together, with a verdict: fidelity, diversity, utility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evalsuite.quality.cells import quality_table
from evalsuite.quality.estimate import Array
from evalsuite.quality.features import Features
from evalsuite.quality.prdc import distances
from evalsuite.quality.section import Section, Status, section, table
from evalsuite.quality.utility import utility_table

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
        [quality_table(r, s, max_n=max_n, seed=seed, resamples=resamples) for r, s in pairs], ignore_index=True
    )
    utility = pd.concat([utility_table(r, s, max_n=max_n, seed=seed) for r, s in pairs], ignore_index=True)
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
            part = distances(queries[i:i + block], known[j:j + block]).min(1)
            best[i:i + block] = np.minimum(best[i:i + block], part)
    return best


def _section(cells: pd.DataFrame, utility: pd.DataFrame) -> Section:
    text, status = verdict(cells, utility)
    shown = cells[["family", "cell", "n", "metric", "value", "low", "high", "note"]]
    diverse = shown["metric"].str.startswith(DIVERSITY)
    whole, by_group = shown["family"].isin(["overall", "floor"]), shown["family"] == "group"
    finer = shown["family"].isin(["class", "strategy"])
    told, everyone = utility["metric"].str.startswith(TOLD), utility["family"] == "overall"
    caption = 'all images; "real against real" is what a perfect generator would score'
    equal = "at equal n in every cell of a family"
    return section("Images", text, status, [
        table("fidelity", f"Fidelity, {caption}", shown[whole & ~diverse]),
        table("fidelity", "Can a linear classifier tell real from synthetic? AUC, 0.5: no", utility[told]),
        table("fidelity", f"Fidelity by class and strategy, {equal}", shown[finer & ~diverse]),
        table("diversity", f"Diversity, {caption}", shown[whole & diverse]),
        table("diversity", f"Diversity by class and strategy, {equal}", shown[finer & diverse]),
        table("utility", "Does what a linear classifier learns carry over? Balanced accuracy",
              utility[~told & everyone]),
        table("fairness", f"Fidelity and diversity by skin type, {equal}", shown[by_group]),
        table("fairness", "Linear classifiers by skin type of the tested images", utility[~everyone]),
    ])


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
