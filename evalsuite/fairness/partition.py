"""The rows of a table split by a group column, or by a crossing of columns, and prepared for the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dermforge.common.missing import UNKNOWN
from evalsuite.fairness import metrics
from evalsuite.fairness.cuts import Cut
from evalsuite.fairness.metrics import Scored
from evalsuite.fairness.predictions import Predictions, levels

CROSS = " x "


@dataclass(frozen=True)
class Partition:
    """Rows split by one column (or a crossing of columns): group code of each row, and the names."""

    column: str
    names: tuple[str, ...]
    codes: NDArray[np.int64]

    @property
    def known(self) -> list[bool]:
        """Which groups can be compared: not those whose name, or a part of it, is missing."""
        return [UNKNOWN not in name.split(CROSS) for name in self.names]


@dataclass(frozen=True)
class GroupData:
    """The rows of one group.

    Attributes
    ----------
    rows
        Where they lie in the table.
    scored
        Prepared for `metrics.evaluate`.
    clusters
        Their cluster codes; None where each row stands alone.
    cuts
        The decision thresholds by kind: `global`, `sens` and, for the group's own, `group`.
    """

    rows: NDArray[np.int64]
    scored: Scored
    clusters: NDArray[np.int64] | None
    cuts: Mapping[str, Cut] = field(default_factory=dict)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each class, [k]."""
        return np.bincount(self.scored.labels, minlength=len(self.scored.classes))

    @cached_property
    def units(self) -> NDArray[np.int64]:
        """Clusters (or rows) of each class, [k]: what is independent."""
        if self.clusters is None:
            return self.counts
        labels = np.unique(np.stack([self.scored.labels, self.clusters]), axis=1)[0]
        return np.bincount(labels, minlength=len(self.scored.classes))


def everyone(predictions: Predictions) -> Partition:
    """All rows as one group."""
    return Partition("all", ("all",), np.zeros(predictions.n, dtype=np.int64))


def partition(predictions: Predictions, columns: Sequence[str]) -> Partition:
    """Split rows by a column, or by every combination of columns that occurs."""
    orders = {c: {v: i for i, v in enumerate(levels(predictions.groups[c]))} for c in columns}
    keys = list(zip(*(predictions.groups[c] for c in columns), strict=True))
    found = sorted(set(keys), key=lambda key: [orders[c][v] for c, v in zip(columns, key, strict=True)])
    index = {key: i for i, key in enumerate(found)}
    return Partition(
        CROSS.join(columns), tuple(CROSS.join(key) for key in found), np.array([index[key] for key in keys])
    )


def group_data(
    predictions: Predictions,
    mask: NDArray[np.bool_],
    clusters: NDArray[np.int64] | None = None,
    cuts: Mapping[str, Cut] | None = None,
) -> GroupData:
    """The rows of a mask."""
    rows, cuts = np.flatnonzero(mask), cuts or {}
    scored = metrics.score(
        predictions.probs[rows],
        predictions.labels[rows],
        predictions.classes,
        {kind: cut.reached(predictions.probs[rows]) for kind, cut in cuts.items()},
        None if predictions.weights is None else predictions.weights[rows],
        None if predictions.called is None else predictions.called[rows],
    )
    return GroupData(rows, scored, None if clusters is None else clusters[rows], cuts)
