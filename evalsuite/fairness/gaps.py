"""The largest difference between groups of every metric, and of three criteria of parity, against chance.

The criteria are demographic parity (share predicted), equal opportunity (sensitivity) and equalised odds (sensitivity
and false positive rate), each for a class against the rest; values are fairlearn's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalsuite.fairness import metrics
from evalsuite.fairness.card import CardSettings, Gap, GroupRow
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.metrics import Values
from evalsuite.fairness.partition import GroupData, Partition
from evalsuite.stats import hypothesis_tests, intervals

CRITERIA = {
    "demographic_parity": ("selection",),
    "equal_opportunity": ("sensitivity",),
    "equalised_odds": ("sensitivity", "false positives"),
}


@dataclass(frozen=True)
class Drawn:
    """The groups of a column, with what was drawn of them.

    Attributes
    ----------
    groups, samples, null
        Rows of each group, its metrics in each resample, and its metrics in each permutation of the groups.
    """

    part: Partition
    groups: Sequence[GroupData]
    samples: Sequence[Values]
    null: Sequence[Values]


@dataclass(frozen=True)
class _Rates:
    """A rate of the compared groups, or several of which the largest difference counts.

    Attributes
    ----------
    used
        Which groups of the partition are compared.
    values, sampled, shuffled
        [rates, groups]; in each resample and in each permutation, [rates, groups, b].
    """

    used: Sequence[int]
    values: NDArray[np.floating]
    sampled: NDArray[np.floating]
    shuffled: NDArray[np.floating]

    @property
    def widest(self) -> int:
        """The rate with the largest difference."""
        return int(np.ptp(self.values, axis=1).argmax())

    @property
    def null(self) -> NDArray[np.floating]:
        """The largest difference in each permutation, [b]."""
        return np.asarray(np.ptp(self.shuffled, axis=1).max(axis=0))


def gaps(drawn: Drawn, rows: Sequence[GroupRow], settings: CardSettings) -> list[Gap]:
    """Gaps of every metric that at least two groups have enough data for, then those of the criteria."""
    found = []
    for metric in drawn.samples[0]:
        if not metric.shown or (metric.kind == "specificity" and metric.threshold):
            continue  # these have no gap of their own
        used = [i for i, row in enumerate(rows) if row.metrics[metric].enough and drawn.part.known[i]]
        if len(used) > 1:
            values = np.array([[rows[i].metrics[metric].value for i in used]])
            sampled, shuffled = (np.stack([of[i][metric] for i in used])[None] for of in (drawn.samples, drawn.null))
            ends = int(values.argmin()), int(values.argmax())
            rates = _Rates(used, values, sampled, shuffled)
            found.append(
                _gap(drawn.part, metric, rates, ends[::-1] if metric.lower_is_better else ends, settings.confidence)
            )
    return found + _criteria(drawn, settings)


def _gap(part: Partition, metric: MetricKey, rates: _Rates, ends: tuple[int, int], confidence: float) -> Gap:
    """ends: which of the compared groups are worst and best."""
    difference, names = float(np.ptp(rates.values, axis=1).max()), [part.names[i] for i in rates.used]
    pairs = zip(rates.values.min(axis=1), rates.values.max(axis=1), strict=True)
    worst, best = ends
    return Gap(
        part.column,
        metric,
        difference,
        *intervals.spread_interval(rates.values, rates.sampled, confidence),
        min((float(low / high) for low, high in pairs if high > 0), default=math.nan),
        names[worst],
        float(rates.values[rates.widest, worst]),
        names[best],
        float(rates.values[rates.widest, best]),
        *hypothesis_tests.null_summary(rates.null),
        hypothesis_tests.permutation_p(difference, rates.null),
        tuple(name for name in part.names if name not in names),
    )


def _criteria(drawn: Drawn, settings: CardSettings) -> list[Gap]:
    """Each criterion for each class, then its class with the largest difference, against the largest by chance.

    Groups with fewer than `min_count` rows of the class or of the others are left out: fairlearn calls the true
    positive rate of a group without positives 0, which would make it the worst group.
    """
    out: list[Gap] = []
    found: dict[str, list[tuple[Gap, NDArray[np.floating]]]] = {name: [] for name in CRITERIA}
    values = [metrics.evaluate(c.scored, ranked=False) for c in drawn.groups]
    for index, cls in enumerate(drawn.groups[0].scored.classes):
        sides = [min(c.counts[index], len(c.rows) - c.counts[index]) for c in drawn.groups]
        used = [i for i, side in enumerate(sides) if side >= settings.min_count and drawn.part.known[i]]
        if len(used) < 2:
            continue
        for criterion, compared in CRITERIA.items():
            plain, sampled, shuffled = (
                np.stack([[_rate(of[i], name, cls) for i in used] for name in compared])
                for of in (values, drawn.samples, drawn.null)
            )
            rates = _Rates(used, plain[:, :, 0], sampled, shuffled)
            more_is_worse = compared[rates.widest] == "false positives"
            order = np.argsort(-rates.values[rates.widest] if more_is_worse else rates.values[rates.widest])
            ends = int(order[0]), int(order[-1])
            gap = _gap(drawn.part, MetricKey(criterion, cls=cls), rates, ends, settings.confidence)
            found[criterion].append((gap, rates.null))
            out.append(gap)
    for criterion, by_class in found.items():
        if by_class:
            top = max((gap for gap, _ in by_class), key=lambda gap: gap.difference)
            largest = np.max([null for _, null in by_class], axis=0)
            mean, p95 = hypothesis_tests.null_summary(largest)
            p = hypothesis_tests.permutation_p(top.difference, largest)
            out.append(replace(top, metric=MetricKey(criterion), null_mean=mean, null_p95=p95, p=p))
    return out


def _rate(values: Values, name: str, cls: str) -> NDArray[np.floating]:
    if name == "false positives":
        return 1 - values[MetricKey("specificity", cls=cls)]
    return values[MetricKey(name, cls=cls)]
