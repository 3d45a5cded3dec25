"""Does the conclusion hold for another rater of the skin types, where both agree, and with labels one step off?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermforge.common.as_json import plain
from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN
from evalsuite.fairness import metrics
from evalsuite.fairness.card import DEFAULTS, CardSettings, Gap
from evalsuite.fairness.gaps import gap_of
from evalsuite.fairness.merge import members
from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.fairness.partition import group_data, partition
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.fairness.rater_correction import Corrected, correct


@dataclass(frozen=True)
class Scenario:
    """One way to label the skin types, and the gap it gives.

    Attributes
    ----------
    name
        rater A, rater B, both agree, one step aside.
    difference, low, high
        The gap; for `one step aside` the mean over relabellings and their 2.5 and 97.5 percentiles.
    beyond_chance
        Whether the p of the gap is at most 0.05 (for relabellings: in most of them).
    same_worst
        Whether the worst group is that of rater A; for relabellings the share of them in which it is.
    changed
        Whether the conclusion (beyond chance, and which group is worst) differs from that of rater A. Where no gap is
        beyond chance, the worst group does not count.
    """

    name: str
    n: int
    difference: float
    low: float
    high: float
    worst: str
    beyond_chance: bool
    same_worst: float
    changed: bool

    @property
    def conclusion(self) -> str:
        """What becomes of rater A's; where nothing could be determined there is none that could hold."""
        if self.changed:
            return "the conclusion CHANGES"
        return "the conclusion holds" if self.beyond_chance else "cannot be determined here either"


@dataclass(frozen=True)
class RaterCheck:
    """The conclusion under label noise, and the difference corrected for it where there are two raters."""

    column: str
    metric: MetricKey
    agreement: float
    scenarios: tuple[Scenario, ...]
    corrected: Corrected | None = None

    @property
    def holds(self) -> bool:
        return not any(s.changed for s in self.scenarios)

    def to_dict(self) -> dict[str, Any]:
        return dict(plain({**asdict(self), "metric": str(self.metric), "holds": self.holds}))


def check(
    predictions: Predictions,
    raters: Sequence[str],
    settings: CardSettings = DEFAULTS,
    *,
    metric: str | MetricKey = ACCURACY,
    noise: float | None = None,
    contrast: str = "",
    n_relabel: int = 200,
) -> RaterCheck:
    """Repeat the gap of a metric by rater A, by rater B, where both agree, and with labels moved one step.

    Parameters
    ----------
    raters
        The group column of rater A, and of rater B if there is one.
    noise
        Share of rows whose label moves one step up or down; None takes the raters' disagreement, or 0.2 with one
        rater.
    contrast
        Groups that are compared with all others in the corrected difference; "": the worst and the best of rater A.
    n_relabel
        How often labels are moved at random.
    """
    metric, column = MetricKey.parse(metric), raters[0]
    scored = metrics.score(predictions.probs, predictions.labels, predictions.classes, called=predictions.called)
    metrics.require(metric, scored)
    found = _gap(predictions, column, metric, settings)
    scenarios, agreement = [_scenario("rater A", predictions.n, found, found)], math.nan
    for rater_b in raters[1:]:
        other = predictions.with_group(column, predictions.groups[rater_b].to_numpy())
        rated = np.all([(predictions.groups[rater] != UNKNOWN).to_numpy() for rater in (column, rater_b)], axis=0)
        agree = rated & (predictions.groups[column] == predictions.groups[rater_b]).to_numpy()
        scenarios.append(_scenario("rater B", other.n, _gap(other, column, metric, settings), found))
        both = predictions.take(agree) if agree.any() else None
        if both is None or both.groups[column].nunique() < 2 or len(np.unique(both.labels)) < 2:
            raise UserError(
                f"{predictions.source}: {column} and {rater_b} agree in too few rows "
                f"({int(agree.sum())}); expected two raters on one scale"
            )
        agreement = float(agree[rated].mean())
        scenarios.append(_scenario("both agree", both.n, _gap(both, column, metric, settings), found))
    share = noise if noise is not None else 0.2 if math.isnan(agreement) else 1 - agreement
    scenarios.append(_aside(predictions, found, share, n_relabel, settings))
    worse: tuple[str, ...] = (found.worst,)
    better: tuple[str, ...] = (found.best,)
    if contrast:
        names = [name for name in levels(predictions.groups[column]) if name != UNKNOWN]
        worse = tuple(members(names, contrast, column))
        better = tuple(name for name in names if name not in worse)
    corrected = None
    if raters[1:]:
        corrected = correct(
            predictions, raters, metric, worse, better, seed=settings.seed, confidence=settings.confidence
        )
    return RaterCheck(column, metric, agreement, tuple(scenarios), corrected)


def _gap(predictions: Predictions, column: str, metric: MetricKey, settings: CardSettings) -> Gap:
    found = _found(predictions, column, metric, settings)
    if found is None:
        raise UserError(
            f"{predictions.source}: fewer than two groups of {column!r} have enough data for {metric}; "
            "merge groups or lower `min_count`"
        )
    return found


def _found(predictions: Predictions, column: str, metric: MetricKey, settings: CardSettings) -> Gap | None:
    part, clusters = partition(predictions, (column,)), predictions.cluster_codes
    data = [group_data(predictions, part.codes == g, clusters) for g in range(len(part.names))]
    return gap_of(part, data, metric, settings)


def _scenario(name: str, n: int, gap: Gap, reference: Gap) -> Scenario:
    same = gap.worst == reference.worst
    changed = gap.beyond_chance != reference.beyond_chance or (reference.beyond_chance and not same)
    return Scenario(name, n, gap.difference, gap.low, gap.high, gap.worst, gap.beyond_chance, float(same), changed)


def _aside(predictions: Predictions, reference: Gap, share: float, times: int, settings: CardSettings) -> Scenario:
    """Labels moved one step at random: the spread of the gap, and how often the conclusion, by its p, holds."""
    groups = predictions.groups[reference.column].to_numpy(str)
    names = np.array([name for name in levels(groups) if name != UNKNOWN])
    known, rng = groups != UNKNOWN, np.random.default_rng(settings.seed)
    codes = np.array([int(np.flatnonzero(names == g)[0]) for g in groups[known]])
    found: list[Gap] = []
    for moved in _moved(rng, codes, len(names), share, times).T:
        relabelled = groups.copy()
        relabelled[known] = names[moved]
        gap = _found(predictions.with_group(reference.column, relabelled), reference.column, reference.metric, settings)
        found += [] if gap is None else [gap]
    if not found:
        raise UserError(
            f"{predictions.source}: with {share:.0%} of the labels one step aside, fewer than two groups of "
            f"{reference.column!r} have enough data for {reference.metric}; merge groups or lower `min_count`"
        )
    spread = np.array([gap.difference for gap in found])
    same = float(np.mean([gap.worst == reference.worst for gap in found]))
    beyond = float(np.mean([gap.beyond_chance for gap in found]))
    usual = Counter(gap.worst for gap in found).most_common(1)[0][0]
    stands = same >= 0.95 and beyond >= 0.95 if reference.beyond_chance else beyond <= 0.05
    low, high = np.quantile(spread, [0.025, 0.975])
    return Scenario(
        f"one step aside ({share:.0%} of rows; from, to: 95 % of relabelled tables)",
        predictions.n,
        float(spread.mean()),
        float(low),
        float(high),
        usual,
        beyond > 0.5,
        same,
        not stands,
    )


def _moved(
    rng: np.random.Generator, codes: NDArray[np.int64], count: int, share: float, times: int
) -> NDArray[np.int64]:
    """Codes with a share of them moved one step up or down, inwards at the ends, [n, times]."""
    shape = (len(codes), times)
    step = np.where(rng.random(shape) < 0.5, -1, 1)
    step = np.where(codes[:, None] == 0, 1, np.where(codes[:, None] == count - 1, -1, step))
    return np.asarray(codes[:, None] + step * (rng.random(shape) < share))
