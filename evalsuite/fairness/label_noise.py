"""Skin types are opinions: does the conclusion hold for another rater, where both agree, and one step aside?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.fairness import metrics
from evalsuite.fairness.assess import card
from evalsuite.fairness.card import Gap, plain
from evalsuite.fairness.predictions import Predictions, levels

CHUNK = 50


@dataclass(frozen=True)
class Scenario:
    """One way to label the skin types, and what it says.

    Attributes
    ----------
    name
        rater A, rater B, both agree, one step aside.
    difference, low, high
        The gap; for `one step aside` the mean over relabellings and their 2.5 and 97.5 percentiles.
    beyond_chance
        Whether the gap exceeds the null gap's 95th percentile (for relabellings: in most of them).
    same_worst
        Whether the worst group is rater A's; for relabellings the share in which it is.
    changed
        Whether the conclusion (beyond chance, and which group is worst) differs from rater A's. Without a gap beyond
        chance there is no worst group to change.
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


@dataclass(frozen=True)
class RaterCheck:
    """The conclusion under label noise."""

    column: str
    metric: str
    agreement: float
    scenarios: tuple[Scenario, ...]

    @property
    def holds(self) -> bool:
        return not any(s.changed for s in self.scenarios)

    def to_dict(self) -> dict[str, Any]:
        return dict(plain({**asdict(self), "holds": self.holds}))


def check(
    predictions: Predictions,
    rater_a: str,
    rater_b: str | None = None,
    *,
    metric: str = "accuracy",
    noise: float | None = None,
    n_boot: int = 500,
    n_relabel: int = 200,
    seed: int = 0,
    min_count: int = 10,
    tick: Callable[[int], None] | None = None,
) -> RaterCheck:
    """Repeat the gap of a metric by rater A, by rater B, where both agree, and with labels moved one step.

    Parameters
    ----------
    noise
        Share of rows whose label moves one step up or down; None takes the raters' disagreement, or 0.2 with one
        rater.
    """
    metrics.require(metric, metrics.score(predictions.probs, predictions.labels, predictions.classes))
    found = _gap(predictions, rater_a, metric, n_boot, seed, min_count, tick)
    scenarios = [_scenario("rater A", predictions.n, found, found)]
    agreement = float("nan")
    if rater_b is not None:
        other = predictions.with_group(rater_a, predictions.groups[rater_b].to_numpy())
        agree = (predictions.groups[rater_a] == predictions.groups[rater_b]).to_numpy()
        agreement = float(agree.mean())
        again = _gap(other, rater_a, metric, n_boot, seed, min_count, tick)
        scenarios.append(_scenario("rater B", other.n, again, found))
        both = predictions.take(agree) if agree.any() else None
        if both is None or both.groups[rater_a].nunique() < 2 or len(np.unique(both.labels)) < 2:
            raise UserError(
                f"{predictions.source}: {rater_a} and {rater_b} agree in too few rows "
                f"({int(agree.sum())}); expected two raters on one scale"
            )
        scenarios.append(
            _scenario("both agree", both.n, _gap(both, rater_a, metric, n_boot, seed, min_count, tick), found)
        )
    share = noise if noise is not None else (1 - agreement if rater_b is not None else 0.2)
    scenarios.append(_aside(predictions, found, share, n_relabel, seed, min_count))
    return RaterCheck(rater_a, metric, agreement, tuple(scenarios))


def _gap(
    predictions: Predictions,
    column: str,
    metric: str,
    n_boot: int,
    seed: int,
    min_count: int,
    tick: Callable[[int], None] | None,
) -> Gap:
    made = card(predictions, [column], n_boot=n_boot, seed=seed, min_count=min_count, intersections=False, tick=tick)
    try:
        return made.gap(column, metric)
    except KeyError:
        raise UserError(
            f"{predictions.source}: fewer than two groups of {column!r} have enough data for {metric}; "
            "merge groups or lower --min-count"
        ) from None


def _scenario(name: str, n: int, gap: Gap, reference: Gap) -> Scenario:
    same = gap.worst == reference.worst
    changed = gap.beyond_chance != reference.beyond_chance or (reference.beyond_chance and not same)
    return Scenario(name, n, gap.difference, gap.low, gap.high, gap.worst, gap.beyond_chance, float(same), changed)


def _aside(predictions: Predictions, reference: Gap, share: float, times: int, seed: int, min_count: int) -> Scenario:
    """Labels moved one step at random: the spread of the gap, and how often the conclusion stands."""
    names = levels(predictions.groups[reference.column])
    index = {name: i for i, name in enumerate(names)}
    codes = np.array([index[v] for v in predictions.groups[reference.column]])
    rng = np.random.default_rng(seed)
    scored = metrics.score(predictions.probs, predictions.labels, predictions.classes)
    ranked = reference.metric.startswith(("auroc", "auprc"))
    values = []
    for done in range(0, times, CHUNK):
        moved = _moved(rng, codes, len(names), share, min(CHUNK, times - done))
        values.append(
            np.stack([_value(scored, moved == g, reference.metric, ranked, min_count) for g in range(len(names))])
        )
    by_group = np.concatenate(values, axis=1)
    by_group = by_group[:, np.isfinite(by_group).sum(axis=0) > 1]
    spread = np.nanmax(by_group, axis=0) - np.nanmin(by_group, axis=0)
    lower = reference.metric in metrics.LOWER_IS_BETTER
    worst = np.nanargmax(by_group, axis=0) if lower else np.nanargmin(by_group, axis=0)
    same = float((worst == index[reference.worst]).mean())
    beyond = float((spread > reference.null_p95).mean())
    usual = names[int(np.bincount(worst, minlength=len(names)).argmax())]
    stands = same >= 0.95 and beyond >= 0.95 if reference.beyond_chance else beyond <= 0.05
    low, high = np.quantile(spread, [0.025, 0.975])
    return Scenario(
        f"one step aside ({share:.0%} of rows)",
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
    return codes[:, None] + step * (rng.random(shape) < share)


def _value(
    scored: metrics.Scored, inside: NDArray[np.bool_], metric: str, ranked: bool, min_count: int
) -> NDArray[np.floating]:
    value = metrics.evaluate(scored, inside.astype(np.float32), ranked=ranked)[metric]
    return np.where(inside.sum(axis=0) >= min_count, value, np.nan)
