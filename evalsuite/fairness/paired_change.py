"""What changed in one metric of one group from model a to model b on the same rows, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalsuite.fairness import metrics
from evalsuite.fairness.group_estimates import MEANS_OF, SHARES_OF_CLASSES, auroc_influence
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.partition import GroupData
from evalsuite.stats import average_precision, clusters, intervals, paired
from evalsuite.stats.intervals import Bounds, Quantile
from evalsuite.stats.largest_difference import Side
from evalsuite.stats.resampling import Array


@dataclass(frozen=True)
class PairedChange:
    """b - a.

    Attributes
    ----------
    a, b
        The metric of both models.
    n
        Rows that the metric uses: all, those of a class, the smaller side of a ranking, the rarest class of a mean.
    difference
        Its value and its interval at any confidence.
    """

    a: float
    b: float
    n: int
    difference: Side


def paired_change(metric: MetricKey, one: GroupData, other: GroupData) -> PairedChange:
    """The change of a metric; one, other: the same rows as model a and model b called them."""
    a, b = (metrics.one(data.scored)[metric] for data in (one, other))
    if metric.kind in ("accuracy", "top3") or (metric.cls and metric.kind in SHARES_OF_CLASSES):
        n, difference = _share(metric, one, other)
    elif metric.kind in MEANS_OF:
        n, difference = _mean_of_shares(metric, one, other)
    elif metric.ranked:
        n, difference = _ranked(metric, one, other, b - a)
    elif metric.kind == "macro_f1":
        n, difference = _macro_f1(one, other, b - a)
    else:
        raise ValueError(f"no interval is known of the change of {metric}")
    return PairedChange(a, b, n, Side(b - a, difference))


def _steps(metric: MetricKey, one: GroupData, other: GroupData) -> tuple[Array, NDArray[np.int64]]:
    """+1 where only b is right, -1 where only a is, else 0; and which rows count."""
    before, rows = metrics.hits(metric, one.scored)
    return metrics.hits(metric, other.scored)[0] - before, rows


def _share(metric: MetricKey, one: GroupData, other: GroupData) -> tuple[int, Bounds]:
    steps, rows = _steps(metric, one, other)
    weights = None if one.scored.weights is None else one.scored.weights[rows]
    effect, degrees = clusters.design(steps, None if one.clusters is None else one.clusters[rows], None, weights)
    return len(rows), _tango(steps, effect, intervals.quantile_of(degrees, len(rows)), weights)


def _tango(steps: Array, effect: float, quantile: Quantile, weights: Array | None) -> Bounds:
    n = len(steps)
    only_a, only_b = (n * float(np.average(side, weights=weights)) for side in (steps < 0, steps > 0))

    def bounds(confidence: float) -> tuple[float, float]:
        return paired.tango(only_a, only_b, n, confidence, effect, quantile)

    return bounds


def _mean_of_shares(metric: MetricKey, one: GroupData, other: GroupData) -> tuple[int, Bounds]:
    """The mean over the classes that occur: Tango's interval of each, put together."""
    used = np.flatnonzero(one.counts)
    share = MetricKey(MEANS_OF[metric.kind])
    by_class = [_steps(share._replace(cls=one.scored.classes[i]), one, other) for i in used]
    w, order = one.scored.weights, np.concatenate([rows for _, rows in by_class])
    together = None if one.clusters is None else one.clusters[order]
    all_steps, weights = np.concatenate([steps for steps, _ in by_class]), None if w is None else w[order]
    effect, degrees = clusters.design(all_steps, together, one.scored.labels[order], weights)
    quantile, parts = intervals.quantile_of(degrees, len(order)), []
    for steps, rows in by_class:
        own = None if w is None else w[rows]
        parts.append(Side(float(np.average(steps, weights=own)), _tango(steps, effect, quantile, own)))
    return int(one.counts[used].min()), paired.mean_of(parts).bounds


def _ranked(metric: MetricKey, one: GroupData, other: GroupData, value: float) -> tuple[int, Bounds]:
    """AUROC or average precision, of a class or the mean over classes: the influences of each row in both models."""
    classes, counts, n = one.scored.classes, one.counts, len(one.rows)
    wanted = [classes.index(metric.cls)] if metric.cls else [i for i, c in enumerate(counts) if 0 < c < n]

    def of(data: GroupData) -> Array:
        if metric.kind == "auroc":
            return np.asarray(np.mean([auroc_influence(data.scored, i) for i in wanted], axis=0))
        scores, labels = data.scored.probs, data.scored.labels
        return np.asarray(np.mean([average_precision.influence(scores[:, i], labels == i)[1] for i in wanted], axis=0))

    if not wanted or not all(0 < counts[i] < n for i in wanted):
        return 0, intervals.undefined
    labels = one.scored.labels
    strata = (labels == wanted[0]).astype(np.int64) if metric.cls else labels
    sizes = [min(int(counts[i]), n - int(counts[i])) for i in wanted]
    # one row that passes a quarter of the others
    unseen = sum((0.25 / size) ** 2 for size in sizes) / len(wanted) ** 2
    return min(sizes), _linearised(of(other) - of(one), value, strata, one, unseen)


def _macro_f1(one: GroupData, other: GroupData, value: float) -> tuple[int, Bounds]:
    influences = metrics.macro_f1_influence(other.scored) - metrics.macro_f1_influence(one.scored)
    sizes = one.counts[one.counts > 0]
    # one more mistake in a class of n rows costs 1 / (k n) of the mean
    unseen = float((1 / sizes.astype(float) ** 2).sum()) / len(sizes) ** 3
    return int(sizes.min()), _linearised(influences, value, one.scored.labels, one, unseen)


def _linearised(influences: Array, value: float, strata: NDArray[np.int64], data: GroupData, unseen: float) -> Bounds:
    """The variance of the rows' influences on Fisher's scale, and what a table without any change may hide.

    Parameters
    ----------
    unseen
        Square of the change that one more row would make. A score interval reaches as far as z^2 such rows where none
        is seen (Tango 1998).
    """
    rows = np.arange(len(influences)) if data.clusters is None else data.clusters
    variance, degrees = clusters.strata_variance(influences, strata, rows)
    hidden = unseen * (len(data.rows) / len(np.unique(rows))) ** 2

    def bounds(confidence: float) -> tuple[float, float]:
        more = hidden * intervals.t_of(confidence, degrees) ** 2
        return intervals.difference_interval(value, variance + more, degrees, confidence)

    return bounds
