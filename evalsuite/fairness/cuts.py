"""Decision thresholds that validation predictions fix, for all rows and for each group, with their own uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.stats import thresholds

#: Name of the threshold of all rows, of the group's own, and of the one of all rows that keeps a sensitivity.
EVERYWHERE, OWN, SENSITIVE = "global", "group", "sens"
#: Thresholds that all groups share: what its validation rows add to the error is no difference between groups.
SHARED = (EVERYWHERE, SENSITIVE)


@dataclass(frozen=True)
class Cut:
    """The threshold of each class, one against the rest.

    Attributes
    ----------
    values
        [k]; a row is called positive where its probability reaches it. NaN where too few validation rows could fix it.
    plausible
        Thresholds that other validation rows might have given, [draws, k].
    """

    values: NDArray[np.floating]
    plausible: NDArray[np.floating]

    def reached(self, probs: NDArray[np.floating]) -> NDArray[np.floating]:
        """1 where a probability reaches the threshold, else 0, [n, k]; NaN without a threshold."""
        return np.where(np.isfinite(self.values), probs >= self.values, np.nan)

    def error(self, probs: NDArray[np.floating], positive: NDArray[np.bool_], index: int) -> float:
        """Variance that the choice of validation rows adds to the share of these rows that are called a class."""
        own = np.sort(probs[positive, index])
        if not len(own) or np.isnan(self.values[index]):
            return 0.0
        return float((1 - np.searchsorted(own, self.plausible[:, index], side="left") / len(own)).var())


@dataclass(frozen=True)
class Cuts:
    """All thresholds of a card: none without validation predictions."""

    everywhere: Cut | None = None
    sensitive: Cut | None = None
    own: Mapping[str, Mapping[str, Cut]] = field(default_factory=dict)

    def of(self, column: str, group: str) -> dict[str, Cut]:
        """By kind of threshold; a crossing of columns has no own ones."""
        if self.everywhere is None or self.sensitive is None:
            return {}
        own = self.own.get(column, {}).get(group)
        return {EVERYWHERE: self.everywhere, SENSITIVE: self.sensitive} | ({} if own is None else {OWN: own})

    def to_dict(self, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        """{"global" | "sens" | "column=group": {class: threshold}}."""
        if self.everywhere is None or self.sensitive is None:
            return {}
        named = {EVERYWHERE: self.everywhere, SENSITIVE: self.sensitive} | {
            f"{column}={group}": cut for column, groups in self.own.items() for group, cut in groups.items()
        }
        return {name: dict(zip(classes, map(float, cut.values), strict=True)) for name, cut in named.items()}


def fix_cuts(
    validation: Predictions | None,
    test: Predictions,
    columns: Sequence[str],
    specificity: float,
    least: int,
    sensitivity: float = 0.9,
) -> Cuts:
    """Thresholds at a specificity, and one at a sensitivity.

    Parameters
    ----------
    columns
        Group columns; a group of the test set with too few validation rows takes the threshold of all.
    least
        Negatives that a threshold at a specificity needs, and positives that one at a sensitivity needs.
    """
    if validation is None:
        return Cuts()
    whole = np.ones(validation.n, dtype=bool)
    everywhere = _cut(validation, whole, specificity, least)
    own = {
        column: {
            group: _filled(
                _cut(validation, (validation.groups[column] == group).to_numpy(), specificity, least), everywhere
            )
            for group in levels(test.groups[column])
        }
        for column in columns
    }
    return Cuts(everywhere, _cut(validation, whole, sensitivity, least, sensitive=True), own)


def _cut(validation: Predictions, rows: NDArray[np.bool_], level: float, least: int, sensitive: bool = False) -> Cut:
    """The thresholds that some rows fix at a specificity, or at a sensitivity."""
    probs, labels, codes = validation.probs[rows], validation.labels[rows], validation.cluster_codes
    clusters = None if codes is None else codes[rows]
    of, others = (
        (thresholds.at_sensitivity, thresholds.plausible_at_sensitivity)
        if sensitive
        else (thresholds.at_specificity, thresholds.plausible)
    )
    k = len(validation.classes)
    values, plausible = np.full(k, np.nan), np.full((thresholds.PLAUSIBLE, k), np.nan)
    for index in range(k):
        positive, scores = labels == index, probs[:, index]
        if int((positive == sensitive).sum()) >= least:
            values[index] = of(scores, positive, level)
            plausible[:, index] = others(scores, positive, level, clusters)
    return Cut(values, plausible)


def _filled(own: Cut, everywhere: Cut) -> Cut:
    """The group's own where it has one, else that of all rows."""
    fixed = np.isfinite(own.values)
    return Cut(np.where(fixed, own.values, everywhere.values), np.where(fixed, own.plausible, everywhere.plausible))
