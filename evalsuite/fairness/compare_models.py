"""Compare two models on one test set: who gained, who lost, and did the gap close for the right reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.fairness import metrics
from evalsuite.fairness.card import DEFAULTS, CardSettings
from evalsuite.fairness.comparison import Change, Comparison, GapChange
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.fairness.partition import GroupData, Partition, everyone, group_data, partition
from evalsuite.fairness.predictions import Predictions, some
from evalsuite.stats import hypothesis_tests, intervals, resampling


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
        Groups and clusters are taken from the one that has the group columns: they belong to the images.
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
    b = _aligned(a, b)
    if not set(groups) <= set(a.groups):
        a = replace(a, groups=b.groups, clusters=b.clusters)
    metric = MetricKey.parse(metric)
    metrics.require(metric, metrics.score(a.probs, a.labels, a.classes), higher_is_better=True)
    pair = _Pair(a, b, metric, margin, settings, np.random.default_rng(settings.seed))
    changes: list[Change] = []
    gaps: list[GapChange] = []
    for part in (everyone(a), *(partition(a, (c,)) for c in groups)):
        drawn_a, drawn_b = pair.bootstrap(part)
        own = [pair.change(part, g, drawn_b[g] - drawn_a[g]) for g in range(len(part.names))]
        changes += own
        if part.column != "all":
            gaps += _gap_change(part, own, drawn_a, drawn_b, settings.confidence)
    changes = _holm(changes, groups[0])
    judged = [c for c in changes if c.column != "all" and c.enough]
    no_group_worse = bool(judged) and all(c.no_worse for c in judged)
    return Comparison(a.source, b.source, metric, margin, tuple(changes), tuple(gaps), no_group_worse)


def _aligned(a: Predictions, b: Predictions) -> Predictions:
    """b's rows in the order of a's."""
    if a.classes != b.classes:
        raise UserError(
            f"{b.source}: classes {', '.join(b.classes)}; expected those of {a.source}: {', '.join(a.classes)}"
        )
    place = {name: i for i, name in enumerate(b.ids.tolist())}
    unmatched = set(a.ids.tolist()) ^ set(place)
    if unmatched:
        raise UserError(
            f"{a.source} and {b.source} hold different ids ({some(unmatched)}); two models are compared "
            "on the same test set"
        )
    b = b.take(np.array([place[name] for name in a.ids.tolist()]))
    if (a.labels != b.labels).any():
        raise UserError(f"{a.source} and {b.source} give different labels for ids {some(a.ids[a.labels != b.labels])}")
    return b


@dataclass(frozen=True)
class _Pair:
    """Two models on the same rows, and how they are compared."""

    a: Predictions
    b: Predictions
    metric: MetricKey
    margin: float
    settings: CardSettings
    rng: np.random.Generator

    def data(self, part: Partition, group: int) -> tuple[GroupData, GroupData]:
        """The rows of a group, as each model called them."""
        mask, clusters = part.codes == group, self.a.cluster_codes
        return group_data(self.a, mask, clusters), group_data(self.b, mask, clusters)

    def bootstrap(self, part: Partition) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """The metric of both models in the same resamples, [groups, n_boot] each."""
        units = part.units(self.a.labels, len(self.a.classes), self.a.cluster_codes)
        pairs = [self.data(part, g) for g in range(len(part.names))]
        out = np.empty((2, len(pairs), self.settings.n_boot))
        done = 0
        for size in resampling.chunks(self.settings.n_boot):
            weights = resampling.bootstrap_weights(self.rng, units, size)
            for group, pair in enumerate(pairs):
                for model, one in enumerate(pair):
                    values = metrics.evaluate(one.scored, weights[one.rows], ranked=self.metric.ranked)
                    out[model, group, done : done + size] = values[self.metric]
            done += size
        return out[0], out[1]

    def change(self, part: Partition, group: int, samples: NDArray[np.floating]) -> Change:
        """What happened to one group; samples: the difference in each resample."""
        one, other = self.data(part, group)
        value_a, value_b = (metrics.one(c.scored)[self.metric] for c in (one, other))
        n, confidence = len(one.rows), self.settings.confidence
        percentiles = intervals.percentile(samples, confidence, n - int((one.counts > 0).sum()))
        if self.metric == ACCURACY:
            step = other.scored.correct.astype(np.float64) - one.scored.correct
            only_a, only_b = int((step < 0).sum()), int((step > 0).sum())
            low, high = intervals.paired_proportions(only_a, only_b, n, confidence)
            if one.clusters is None:
                p = hypothesis_tests.mcnemar(only_a, only_b)
            else:  # clusters widen the closed form, never narrow it: it holds where nothing differs
                p = hypothesis_tests.clustered_mcnemar(step, one.clusters)
                low, high = min(low, percentiles[0]), max(high, percentiles[1])
        else:
            p, (low, high) = hypothesis_tests.bootstrap_p(samples), percentiles
        return Change(
            part.column,
            part.names[group],
            n,
            n >= self.settings.min_count,
            value_a,
            value_b,
            value_b - value_a,
            low,
            high,
            p,
            math.nan,
            bool(low > -self.margin),
            hypothesis_tests.minimum_detectable(_spread(samples)),
        )


def _spread(samples: NDArray[np.floating]) -> float:
    samples = samples[np.isfinite(samples)]
    return float(samples.std(ddof=1)) if len(samples) > 1 else math.nan


def _gap_change(
    part: Partition,
    own: Sequence[Change],
    drawn_a: NDArray[np.floating],
    drawn_b: NDArray[np.floating],
    confidence: float,
) -> list[GapChange]:
    used = [i for i, c in enumerate(own) if c.enough and math.isfinite(c.difference)]
    if len(used) < 2:
        return []
    a, b = np.array([own[i].a for i in used]), np.array([own[i].b for i in used])
    change = float(np.ptp(b) - np.ptp(a))
    top_a, low_a, top_b, low_b = (used[int(i)] for i in (a.argmax(), a.argmin(), b.argmax(), b.argmin()))
    # keep the pairs: picking them again in each resample would fold a small gap at 0 and hide its error
    spread = _spread(drawn_b[top_b] - drawn_b[low_b] - drawn_a[top_a] + drawn_a[low_a])
    low, high = (
        intervals.difference_interval(change, spread**2, confidence=confidence) if spread > 0 else (change, change)
    )
    p = intervals.difference_p(change, spread**2) if spread > 0 else 1.0
    best, worst = own[top_a], own[low_a]
    # the best of many groups was partly lucky and regresses by itself, so its p is corrected for the number of groups
    adjusted = dict(zip(used, hypothesis_tests.holm(np.array([own[i].p for i in used])).tolist(), strict=True))
    fell = best.difference < 0 and adjusted[top_a] <= 1 - confidence
    rose = worst.difference > 0 and adjusted[low_a] <= 1 - confidence
    down = change < 0 and fell and not rose
    return [
        GapChange(
            part.column,
            float(np.ptp(a)),
            float(np.ptp(b)),
            change,
            low,
            high,
            p,
            best.group,
            worst.group,
            down,
            _reading(change, high, down, rose, best, worst),
        )
    ]


def _reading(change: float, high: float, down: bool, rose: bool, best: Change, worst: Change) -> str:
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
    return "no clear change of the gap" if change <= 0 else "the gap did not close"


def _holm(changes: Sequence[Change], column: str) -> list[Change]:
    """The changes with Holm's p for the groups of a column."""
    inside = [i for i, c in enumerate(changes) if c.column == column and c.enough]
    adjusted = hypothesis_tests.holm(np.array([changes[i].p for i in inside]))
    out = list(changes)
    for i, p in zip(inside, adjusted, strict=True):
        out[i] = replace(changes[i], p_holm=float(p))
    return out
