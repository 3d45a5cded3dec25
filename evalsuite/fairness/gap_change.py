"""What happened to the gap between the best and the worst group, and for which reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evalsuite.fairness import group_estimates, metrics
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.comparison import Change, GapChange
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.paired_change import PairedChange
from evalsuite.fairness.partition import GroupData, Partition
from evalsuite.stats import hypothesis_tests, paired
from evalsuite.stats.intervals import undefined
from evalsuite.stats.largest_difference import Side, mover

Pair = tuple[GroupData, GroupData]  # the same rows as model a and model b called them


def gap_change(
    part: Partition,
    own: Sequence[Change],
    found: Sequence[PairedChange],
    pairs: Sequence[Pair],
    metric: MetricKey,
    settings: CardSettings,
) -> list[GapChange]:
    """The change of the gap over the groups with enough data; none where fewer than two have.

    Parameters
    ----------
    own, found, pairs
        Of each group: its change as it is shown, with its bounds, and its rows.
    """
    used = [i for i, change in enumerate(own) if change.enough]
    if len(used) < 2:
        return []
    a, b = np.array([own[i].a for i in used]), np.array([own[i].b for i in used])
    top_a, low_a, top_b, low_b = (used[int(i)] for i in (a.argmax(), a.argmin(), b.argmax(), b.argmin()))

    def from_to(before: int, after: int) -> Side:
        """Group `after` in model b less group `before` in model a."""
        if before == after:
            return found[before].difference
        first, second = _estimate(metric, pairs[after][1], settings), _estimate(metric, pairs[before][0], settings)
        return Side(first.value - second.value, lambda confidence: mover(first, second, confidence))

    # the best and the worst are picked in each model: keeping those of a would call luck a smaller gap
    upper, lower = from_to(top_a, top_b), from_to(low_a, low_b)
    change = Side(upper.value - lower.value, lambda confidence: mover(upper, lower, confidence))
    low, high = change.bounds(settings.confidence)
    best, worst = own[top_a], own[low_a]
    # the best of many groups was partly lucky and regresses by itself, so its p is corrected for the number of groups
    adjusted = dict(zip(used, hypothesis_tests.holm(np.array([own[i].p for i in used])).tolist(), strict=True))
    fell = best.difference < 0 and adjusted[top_a] <= 1 - settings.confidence
    rose = worst.difference > 0 and adjusted[low_a] <= 1 - settings.confidence
    down = change.value < 0 and fell and not rose
    return [
        GapChange(
            part.column,
            float(np.ptp(a)),
            float(np.ptp(b)),
            change.value,
            low,
            high,
            paired.p_of(change),
            best.group,
            worst.group,
            down,
            reading(change.value, high, down, rose, best, worst),
        )
    ]


def _estimate(metric: MetricKey, data: GroupData, settings: CardSettings) -> Side:
    made = group_estimates.estimate(metric, metrics.one(data.scored), data, settings)
    return Side(made.value, made.bounds or undefined)


def reading(change: float, high: float, down: bool, rose: bool, best: Change, worst: Change) -> str:
    """What moved. The gap is called smaller only where its interval lies below 0."""
    smaller, unsettled = "the gap is smaller because ", "; whether the gap is smaller is not settled"
    if down:
        moved = f"{best.group} got worse, while {worst.group} did not gain"
        return f"levelled down: {smaller}{moved}" if high < 0 else f"levelled down: {moved}{unsettled}"
    if change < 0 and rose:
        moved = f"{worst.group} gained"
        return f"{smaller}{moved}" if high < 0 else f"{moved}{unsettled}"
    if high < 0:
        return "the gap is smaller; which group moved is not settled"
    return "whether the gap changed cannot be determined"
