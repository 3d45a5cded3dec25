"""How well a classifier does in rare groups, from few labelled images and many synthetic ones made from other images.

A synthetic image stands for the real one that it was made from, its parent. Of labelled images both are known, and what
they differ by debiases the synthetic images of parents without a label; see `evalsuite.stats.prediction_powered`. A
synthetic image without a parent says nothing of the difference, and so nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.least_numbers import GROUP_IMAGES
from dermforge.common.missing import UNKNOWN, is_missing
from dermforge.common.tables import read_table
from evalsuite.fairness.metric_key import ShareMetric
from evalsuite.fairness.predictions import Predictions, levels, texts
from evalsuite.fairness.share_rows import share_rows
from evalsuite.stats.prediction_powered import Powered, powered_share

MISMATCH = 0.01  # below this p the two kinds of synthetic images are of different images


@dataclass(frozen=True)
class RareGroup:
    """One group.

    Attributes
    ----------
    real, twins
        Labelled images that the metric counts, and those of them that a synthetic image of the same class and group was
        made from.
    others
        Images without a label that synthetic ones of this group were made from.
    strange
        Synthetic images left out: made from a labelled image of another class or group.
    doubt
        Why the estimate is not to be used; empty where it is.
    """

    name: str
    real: int
    twins: int
    others: int
    strange: int
    powered: Powered
    doubt: str


def parents(path: Path, column: str = "parent", id_column: str = "id") -> dict[str, str]:
    """The parent of each synthetic image of a table of predictions.

    Raises
    ------
    UserError
        No such column, or an image without a parent.
    """
    frame = read_table(path)
    for name in (column, id_column):
        if name not in frame.columns:
            raise UserError(
                f"{path}: no column {name}; it has {', '.join(frame.columns)}: synthetic images need parents"
            )
    found = dict(zip(texts(frame[id_column]), texts(frame[column]), strict=True))
    alone = [name for name, parent in found.items() if is_missing(parent)]
    if alone:
        raise UserError(
            f"{path}: {len(alone)} images have no {column} (such as {alone[0]}); a synthetic image that was made from "
            "no real one cannot be debiased: leave it out"
        )
    return found


def estimate(
    real: Predictions,
    synthetic: Predictions,
    parent: Mapping[str, str],
    column: str,
    metric: ShareMetric,
    positive: str = "",
    confidence: float = 0.95,
) -> list[RareGroup]:
    """The metric of each group of a column.

    Parameters
    ----------
    real
        Predictions on labelled images.
    synthetic
        Predictions of the same classifier on synthetic images; their label is the class that was asked for.
    parent
        The real image that each synthetic one was made from (`parents`).
    positive
        The class of a sensitivity or a specificity.

    Raises
    ------
    UserError
        The tables have other classes, or there is no class `positive`.
    """
    synthetic = synthetic.written_like(real)
    if synthetic.classes != real.classes:
        raise UserError(
            f"{synthetic.source}: classes {', '.join(synthetic.classes)}; expected those of {real.source}: "
            f"{', '.join(real.classes)}"
        )
    labelled = share_rows(real, column, metric, positive).assign(unit=real.ids)
    made = share_rows(synthetic, column, metric, positive).assign(
        unit=[parent[name] for name in synthetic.ids.tolist()]
    )
    known = set(labelled["unit"])
    names = [name for name in levels(labelled["group"]) if name != UNKNOWN]
    return [_group(name, labelled, made, known, confidence) for name in names]


def _group(name: str, labelled: pd.DataFrame, made: pd.DataFrame, known: set[str], confidence: float) -> RareGroup:
    rows = labelled[(labelled["group"] == name) & labelled["counts"]]
    of_group = made[(made["group"] == name) & made["counts"]]
    from_known = of_group["unit"].isin(known)
    ours = of_group[from_known].merge(rows[["unit", "label"]], on=["unit", "label"])
    twin = ours.groupby("unit")["right"].mean()
    others = of_group[~from_known].groupby("unit").agg(right=("right", "mean"), family=("family", "first"))
    rows = rows.assign(twin=rows["unit"].map(twin))
    paired = rows.dropna(subset=["twin"])
    # without a column of patients, the synthetic images of one parent are one family already
    powered = powered_share(
        paired["right"].to_numpy(bool),
        paired["twin"].to_numpy(np.float64),
        others["right"].to_numpy(np.float64),
        family=_codes(paired["family"]),
        other_family=_codes(others["family"]),
        confidence=confidence,
    )
    strange = int(from_known.sum()) - len(ours)
    doubt = _doubt(paired["family"].nunique(), others["family"].nunique(), powered)
    return RareGroup(name, len(rows), len(paired), len(others), strange, powered, doubt)


def _codes(family: pd.Series) -> NDArray[np.int64]:
    return np.asarray(pd.factorize(family)[0], dtype=np.int64)


def _doubt(paired: int, others: int, powered: Powered) -> str:
    if paired < GROUP_IMAGES:
        return f"{paired} labelled images (or patients) with synthetic ones, at least {GROUP_IMAGES} are needed"
    if others < GROUP_IMAGES:
        return (
            f"{others} images (or patients) without a label that synthetic ones were made from, "
            f"at least {GROUP_IMAGES} are needed"
        )
    if powered.p_mismatch < MISMATCH:
        return (
            f"synthetic images of labelled and of other images are not alike (p {powered.p_mismatch:.2g}): "
            "they were made from different kinds of images"
        )
    return ""
