"""Do several feature spaces say the same? Each one's verdict side by side, and the order in which they put the cells.

An encoder may be blind to what another one sees, so a verdict is given only where they do not contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from evalsuite.page.image_check import Status, told_apart

KERNEL, TOLD = ("KD", "KID"), "real or synthetic"
ORDERED = ("class", "group", "strategy", "class x group")  # families of cells that have an order
MIN_CELLS = 5  # for a rank correlation
Order = Literal["same order", "they contradict each other", "cannot be determined", "not enough data"]


def one_verdict(cells: pd.DataFrame, utility: pd.DataFrame) -> tuple[str, Status]:
    """A sentence about one feature space and a status: the kernel distance, then the discriminator."""
    overall = cells[cells["family"] == "overall"]
    kernel = overall[overall["metric"].str.startswith(KERNEL)]
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
    return text, told_apart(auc["low"], auc["value"], auc["high"])


def by_extractor(cells: pd.DataFrame, utility: pd.DataFrame) -> pd.DataFrame:
    """One row per feature space: extractor, status and sentence of its own."""
    rows = []
    for name in cells["extractor"].unique():
        text, status = one_verdict(cells[cells["extractor"] == name], utility[utility["extractor"] == name])
        rows.append({"extractor": name, "status": status, "sentence": text})
    return pd.DataFrame(rows)


def joint_verdict(cells: pd.DataFrame, utility: pd.DataFrame) -> tuple[str, Status]:
    """What the feature spaces say together: the first one's sentence, and a status that none of them contradicts.

    good: no space tells real from synthetic; warn, bad: those that can say something do; unknown: they contradict each
    other, or one of them cannot say what the others call good.
    """
    each = by_extractor(cells, utility)
    text = str(each["sentence"].iloc[0])
    if len(each) == 1:
        return text, each["status"].iloc[0]
    names = {word: each.loc[each["status"].isin(of), "extractor"].tolist() for word, of in _SAYS.items()}
    said = _together(names["told"], names["not told"], names["unknown"], each["status"])
    orders = agreement_table(cells)
    opposed: list[str] = []
    if len(orders):
        opposed = orders.loc[orders["says"] == "they contradict each other", "family"].unique().tolist()
    if opposed:
        text += (
            f" The feature spaces order cells of the family {', '.join(opposed)} in opposite ways: name no worst one."
        )
    return f"{text} {said[0]}", said[1]


_SAYS = {"told": ("warn", "bad"), "not told": ("good",), "unknown": ("unknown",)}


def _together(
    told: Sequence[str], blind: Sequence[str], unknown: Sequence[str], statuses: pd.Series
) -> tuple[str, Status]:
    if told and blind:
        return (
            f"The feature spaces disagree: real and synthetic images are told apart by {_and(told)}, not by "
            f"{_and(blind)}. A space may be blind to a difference, so no verdict is given.",
            "unknown",
        )
    silent = f" {_and(unknown)} cannot say." if unknown else ""
    if told:
        mildest: Status = "warn" if "warn" in set(statuses) else "bad"
        return f"Real and synthetic images are told apart by {_and(told)}.{silent}", mildest
    if blind:
        return (
            f"Real and synthetic images are not told apart by {_and(blind)}.{silent}",
            "unknown" if unknown else "good",
        )
    return "No feature space can say whether real and synthetic images differ.", "unknown"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def agreement_table(cells: pd.DataFrame) -> pd.DataFrame:
    """How far two feature spaces order the cells of a family alike, by the kernel distance.

    One row per family and pair of spaces: cells that both measured; pairs of those cells; how many of these pairs both
    spaces tell apart in the same order, or in opposite ones (the intervals do not overlap in either space); Spearman's
    rank correlation, NaN with fewer than `MIN_CELLS` cells; and what that says.
    """
    kernel = cells[cells["metric"].str.startswith(KERNEL) & cells["value"].notna() & cells["low"].notna()]
    records = []
    for family in [f for f in ORDERED if f in set(kernel["family"])]:
        part = kernel[kernel["family"] == family]
        tables = {str(name): rows.set_index("cell") for name, rows in part.groupby("extractor", sort=False)}
        for one, other in combinations(tables, 2):
            both = tables[one].index.intersection(tables[other].index, sort=False)
            record = _order(tables[one].loc[both], tables[other].loc[both])
            records.append({"family": family, "extractor": one, "other": other, **record})
    return pd.DataFrame(records)


def _order(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, object]:
    n = len(one)
    a, b = _further(one), _further(other)
    upper = np.triu_indices(n, 1)
    product = (a * b)[upper]
    same, opposite = int((product > 0).sum()), int((product < 0).sum())
    rho = float(spearmanr(one["value"], other["value"]).statistic) if n >= MIN_CELLS else float("nan")
    says: Order = "cannot be determined" if n > 1 else "not enough data"
    if opposite:
        says = "they contradict each other"
    elif same:
        says = "same order"
    return {"cells": n, "pairs": len(product), "same": same, "opposite": opposite, "spearman": rho, "says": says}


def _further(cells: pd.DataFrame) -> NDArray[np.int_]:
    """Whether a cell is surely further from its real images than another (1), nearer (-1), or neither (0), [n, n]."""
    low, high = cells["low"].to_numpy(dtype=float), cells["high"].to_numpy(dtype=float)
    return np.asarray((low[:, None] > high[None]).astype(int) - (high[:, None] < low[None]).astype(int))
