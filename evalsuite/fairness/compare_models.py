"""Compare two models on one test set: who gained, who lost, and did the gap close for the right reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evalsuite.fairness import metrics
from evalsuite.fairness.card import DEFAULTS, CardSettings
from evalsuite.fairness.comparison import Change, Comparison, GapChange
from evalsuite.fairness.gap_change import gap_change
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.fairness.paired_change import PairedChange, paired_change
from evalsuite.fairness.partition import GroupData, Partition, everyone, group_data, partition
from evalsuite.fairness.predictions import Predictions
from evalsuite.fairness.same_images import in_order_of
from evalsuite.stats import hypothesis_tests, paired


def compare(
    a: Predictions,
    b: Predictions,
    groups: Sequence[str],
    settings: CardSettings = DEFAULTS,
    *,
    metric: str | MetricKey = ACCURACY,
    margin: float = 0.02,
) -> Comparison:
    """Compare model b with model a, paired row by row.

    Parameters
    ----------
    a, b
        Groups, clusters and weights are taken from the one that has them: they belong to the images.
    groups
        Group columns; the groups of the first form the family of Holm's correction.
    metric
        One of `metrics.evaluate` where more is better.
    margin
        The loss that a group may take and still count as no worse.

    Raises
    ------
    UserError
        The tables hold different ids, labels or classes, or the metric cannot be compared.
    """
    b = in_order_of(b, a)
    if not set(groups) <= set(a.groups):
        a = replace(a, groups=b.groups, clusters=b.clusters)
    weights = b.weights if a.weights is None else a.weights  # they belong to the images, as groups do
    a, b = replace(a, weights=weights), replace(b, weights=weights)
    metric = MetricKey.parse(metric)
    metrics.require(metric, metrics.score(a.probs, a.labels, a.classes), higher_is_better=True)
    codes = a.cluster_codes
    changes: list[Change] = []
    gaps: list[GapChange] = []
    for part in (everyone(a), *(partition(a, (c,)) for c in groups)):
        pairs = [_rows(a, b, part.codes == g, codes) for g in range(len(part.names))]
        found = [paired_change(metric, *pair) for pair in pairs]
        least = settings.min_count if metrics.counts_rows(metric) else math.ceil(settings.min_count / 2)
        own = [_described(part, g, one, least, margin, settings.confidence) for g, one in enumerate(found)]
        changes += own
        if part.column != "all":
            gaps += gap_change(part, own, found, pairs, metric, settings)
    changes = _holm(changes, groups[0])
    return Comparison(a.source, b.source, metric, margin, tuple(changes), tuple(gaps))


def _rows(
    a: Predictions, b: Predictions, mask: NDArray[np.bool_], codes: NDArray[np.int64] | None
) -> tuple[GroupData, GroupData]:
    """The rows of a group, as each model called them, with the clusters of the first."""
    return group_data(a, mask, codes), group_data(b, mask, codes)


def _described(
    part: Partition, group: int, found: PairedChange, least: int, margin: float, confidence: float
) -> Change:
    difference = found.difference
    low, high = difference.bounds(confidence)
    known = math.isfinite(difference.value) and math.isfinite(low)
    return Change(
        part.column,
        part.names[group],
        found.n,
        known and found.n >= least and part.known[group],
        found.a,
        found.b,
        difference.value,
        low,
        high,
        paired.p_of(difference),
        math.nan,
        bool(low > -margin),
        hypothesis_tests.minimum_detectable(difference.error) if known else math.nan,
    )


def _holm(changes: Sequence[Change], column: str) -> list[Change]:
    """The changes with Holm's p for the groups of a column."""
    inside = [i for i, c in enumerate(changes) if c.column == column and c.enough]
    adjusted = hypothesis_tests.holm(np.array([changes[i].p for i in inside]))
    out = list(changes)
    for i, p in zip(inside, adjusted, strict=True):
        out[i] = replace(changes[i], p_holm=float(p))
    return out
