"""The largest difference between groups of every metric, and of three criteria of parity.

The criteria are demographic parity (share predicted), equal opportunity (sensitivity) and equalised odds (sensitivity
and false positive rate), each for a class against the rest; values are fairlearn's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalsuite.fairness import group_estimates, metrics
from evalsuite.fairness.card import CardSettings, Gap, GroupRow
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.partition import GroupData, Partition
from evalsuite.stats.estimate import Estimate
from evalsuite.stats.intervals import of_the_rest
from evalsuite.stats.largest_difference import Side, largest_difference

FALSE_POSITIVES = "false positives"
CRITERIA = {
    "demographic_parity": ("selection",),
    "equal_opportunity": ("sensitivity",),
    "equalised_odds": ("sensitivity", FALSE_POSITIVES),
}


@dataclass(frozen=True)
class _Rate:
    """A rate of the compared groups; `more_is_worse` for errors."""

    sides: Sequence[Side]
    more_is_worse: bool = False

    @property
    def spread(self) -> float:
        return float(np.ptp([side.value for side in self.sides]))

    @property
    def ends(self) -> tuple[int, int]:
        """The worst and the best group."""
        values = [side.value for side in self.sides]
        low, high = int(np.argmin(values)), int(np.argmax(values))
        return (high, low) if self.more_is_worse else (low, high)


def gaps(part: Partition, groups: Sequence[GroupData], rows: Sequence[GroupRow], settings: CardSettings) -> list[Gap]:
    """Gaps of every metric that at least two groups have enough data for, then those of the criteria."""
    found = []
    for metric in rows[0].metrics:
        if metric.fixed:
            continue  # it shows how the threshold turned out, and has no gap of its own
        gap = _of_metric(part, metric, [row.metrics[metric] for row in rows], settings.confidence)
        found += [] if gap is None else [gap]
    return found + _criteria(part, groups, rows, settings)


def gap_of(part: Partition, groups: Sequence[GroupData], metric: MetricKey, settings: CardSettings) -> Gap | None:
    """The gap of one metric that rows alone give; None where fewer than two groups have enough data."""
    plain = [metrics.one(group.scored, ranked=metric.ranked) for group in groups]
    own = [
        group_estimates.estimate(metric, values, group, settings) for values, group in zip(plain, groups, strict=True)
    ]
    return _of_metric(part, metric, own, settings.confidence)


def _of_metric(part: Partition, metric: MetricKey, own: Sequence[Estimate], confidence: float) -> Gap | None:
    """The gap between the groups with enough data; own: the estimate of each group."""
    used = [i for i, made in enumerate(own) if made.enough and made.bounds is not None and part.known[i]]
    if len(used) < 2:
        return None
    rate = _Rate([_side(own[i]) for i in used], metric.lower_is_better)
    return _gap(part, metric, used, [rate], confidence)


def _side(made: Estimate) -> Side:
    assert made.bounds is not None
    return Side(made.value, made.bounds)


def _gap(part: Partition, metric: MetricKey, used: Sequence[int], rates: Sequence[_Rate], confidence: float) -> Gap:
    """Of one rate, or of the one with the largest difference; used: which groups of the partition are compared."""
    widest = max(rates, key=lambda rate: rate.spread)
    names = [part.names[i] for i in used]
    ranges = [(min(values), max(values)) for rate in rates if (values := [side.value for side in rate.sides])]
    worst, best = widest.ends
    found = largest_difference([rate.sides for rate in rates], confidence)
    return Gap(
        part.column,
        metric,
        widest.spread,
        found.low,
        found.high,
        min((low / high for low, high in ranges if high > 0), default=math.nan),
        names[worst],
        widest.sides[worst].value,
        names[best],
        widest.sides[best].value,
        found.null_mean,
        found.null_p95,
        found.p,
        found.detectable,
        tuple(name for name in part.names if name not in names),
        _surest(rates, names, found.surest),
    )


def _surest(rates: Sequence[_Rate], names: Sequence[str], found: tuple[int, int, int]) -> tuple[str, float, str, float]:
    """Worse group, its value, better group, its value."""
    rate, higher, lower = rates[found[0]], found[1], found[2]
    worse, better = (higher, lower) if rate.more_is_worse else (lower, higher)
    return names[worse], rate.sides[worse].value, names[better], rate.sides[better].value


def _criteria(
    part: Partition, groups: Sequence[GroupData], rows: Sequence[GroupRow], settings: CardSettings
) -> list[Gap]:
    """Each criterion for each class, then over all classes.

    Groups with fewer than `min_count` rows of the class or of the others are left out: fairlearn calls the true
    positive rate of a group without positives 0, which would make it the worst group.
    """
    out: list[Gap] = []
    by_criterion: dict[str, list[tuple[list[int], list[_Rate]]]] = {name: [] for name in CRITERIA}
    plain = [metrics.one(group.scored, ranked=False) for group in groups]
    for index, cls in enumerate(groups[0].scored.classes):
        sides = [min(group.counts[index], len(group.rows) - group.counts[index]) for group in groups]
        used = [i for i, side in enumerate(sides) if side >= settings.min_count and part.known[i]]
        if len(used) < 2:
            continue
        selection = MetricKey("selection", cls=cls)
        own = {
            "selection": [_side(group_estimates.estimate(selection, plain[i], groups[i], settings)) for i in used],
            "sensitivity": [_side(rows[i].metrics[MetricKey("sensitivity", cls=cls)]) for i in used],
            FALSE_POSITIVES: [_flipped(_side(rows[i].metrics[MetricKey("specificity", cls=cls)])) for i in used],
        }
        for criterion, compared in CRITERIA.items():
            rates = [_Rate(own[name], name == FALSE_POSITIVES) for name in compared]
            out.append(_gap(part, MetricKey(criterion, cls=cls), used, rates, settings.confidence))
            by_criterion[criterion].append((used, rates))
    for criterion, found in by_criterion.items():
        out += _over_classes(part, MetricKey(criterion), found, settings.confidence)
    return out


def _over_classes(
    part: Partition, metric: MetricKey, found: Sequence[tuple[list[int], list[_Rate]]], confidence: float
) -> list[Gap]:
    """The criterion over all classes that the same groups can be compared by."""
    if not found:
        return []
    shared = max((used for used, _ in found), key=len)
    rates = [rate for used, of_class in found if used == shared for rate in of_class]
    return [_gap(part, metric, shared, rates, confidence)]


def _flipped(side: Side) -> Side:
    """The share of what is not a hit."""
    return Side(1 - side.value, of_the_rest(side.bounds))
