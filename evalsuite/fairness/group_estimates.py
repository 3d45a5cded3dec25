"""The estimates of one group: each metric's value, its interval, and whether there are enough rows to show it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.fairness import metrics
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.cuts import SHARED
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.partition import GroupData
from evalsuite.stats import average_precision, calibration, clusters, delong, intervals
from evalsuite.stats.estimate import Estimate
from evalsuite.stats.intervals import Bounds, Quantile, t_of, z_of
from evalsuite.stats.largest_difference import confidence_of
from evalsuite.stats.resampling import Array

SHARES_OF_CLASSES = ("sensitivity", "specificity")
#: Of which no interval for weighted rows is known here.
WITHOUT_WEIGHTS = ("auprc", "ece")
MEANS_OF = {"balanced_accuracy": "sensitivity"}  # a mean of the classes' shares under another name
Estimates = dict[MetricKey, Estimate]


def estimates(group: GroupData, overall: Mapping[MetricKey, Estimate], settings: CardSettings) -> Estimates:
    """All estimates of one group.

    Parameters
    ----------
    overall
        The estimates of all rows: what "the n that would be needed" of a proportion is computed from.
    """
    values = metrics.one(group.scored)
    weighted = group.scored.weights is not None
    shown = [metric for metric in values if metric.shown and not (weighted and metric.kind in WITHOUT_WEIGHTS)]
    made = {metric: estimate(metric, values, group, settings, overall) for metric in shown}
    return made if weighted else made | _recalibrated(group, settings)


def estimate(
    metric: MetricKey,
    values: Mapping[MetricKey, float],
    group: GroupData,
    settings: CardSettings,
    overall: Mapping[MetricKey, Estimate] | None = None,
) -> Estimate:
    """One metric of one group; values: all of its plain values."""
    value = values[metric]
    if metric.kind in ("accuracy", "top3", "selection") or (metric.cls and metric.kind in SHARES_OF_CLASSES):
        expected = overall[metric].value if overall and metric in overall else value
        return _proportion(metric, value, expected, group, settings)
    if metric.kind == "auroc":
        return _auroc(metric.cls, value, group, settings)
    if metric.kind == "auprc":
        return _auprc(metric.cls, value, group, settings)
    if metric.kind == "ece":
        return _ece(value, group, settings)
    if metric.kind in MEANS_OF or metric.threshold:
        return _mean_of_shares(metric, values, group, settings)
    if metric.kind in ("brier", "macro_f1"):
        return _composite(metric, value, group, settings)
    raise ValueError(f"no interval is known for {metric}")


def _made(
    value: float,
    bounds: Bounds,
    n: int,
    needed: int,
    method: str,
    settings: CardSettings,
    *,
    least: int | None = None,
    compared: Bounds | None = None,
) -> Estimate:
    """An estimate at the card's confidence.

    Parameters
    ----------
    least
        Rows from which on it is shown; `needed` unless given.
    compared
        The bounds that groups are compared by, where they differ.
    """
    low, high = bounds(settings.confidence)
    enough = n >= (needed if least is None else least) and math.isfinite(value) and math.isfinite(low)
    return Estimate(value, low, high, n, enough, needed, method, bounds=compared or bounds)


def _proportion(metric: MetricKey, value: float, expected: float, group: GroupData, settings: CardSettings) -> Estimate:
    """A share of rows: Wilson, on the effective size where rows are clustered."""
    hits, rows = metrics.hits(metric, group.scored)
    n = len(hits)
    effect, degrees = clusters.design(hits, _of(group.clusters, rows), None, _of(group.scored.weights, rows))
    quantile = intervals.quantile_of(degrees, n)
    cut = 1 + _cut_error(metric, group, settings) / max(effect * _smooth_variance(value, n), 1e-12)

    def bounds(confidence: float) -> tuple[float, float]:
        return intervals.wilson(value * n, n, confidence, effect * cut, quantile)

    def given_the_cut(confidence: float) -> tuple[float, float]:
        return intervals.wilson(value * n, n, confidence, effect, quantile)

    useful = intervals.n_for_half_width(expected, settings.half_width, settings.confidence) * effect
    needed = max(settings.min_count, math.ceil(useful))
    compared = given_the_cut if metric.threshold in SHARED else bounds
    least = n + 1 if _of_one_patient(group, rows) else settings.min_count
    return _made(value, bounds, n, needed, "wilson", settings, least=least, compared=compared)


def _of_one_patient(group: GroupData, rows: NDArray[np.int64]) -> bool:
    """One patient shows nothing of others, however many images there are."""
    return group.clusters is not None and len(rows) > 0 and len(np.unique(group.clusters[rows])) < 2


def _of(column: NDArray[Any] | None, rows: NDArray[Any]) -> NDArray[Any] | None:
    return None if column is None else column[rows]


def _cut_error(metric: MetricKey, group: GroupData, settings: CardSettings) -> float:
    """Variance that the choice of validation rows adds to a share; none to the one that the threshold was fixed by."""
    if not metric.threshold or metric.fixed:
        return 0.0
    index = group.scored.classes.index(metric.cls)
    rows = (group.scored.labels == index) == (metric.kind == "sensitivity")
    return group.cuts[metric.threshold].error(group.scored.probs, rows, index)


def _smooth_variance(p: float, n: int) -> float:
    """Variance of a share of n rows, two hits and two misses added: not 0 where all are hits."""
    smooth = (p * n + 2) / (n + 4)
    return smooth * (1 - smooth) / max(n, 1)


def _auroc(cls: str, value: float, group: GroupData, settings: CardSettings) -> Estimate:
    """AUROC of a class, or the mean over the defined classes, by DeLong; clusters summed first."""
    scored, n = group.scored, len(group.rows)
    wanted = range(len(scored.classes)) if not cls else [scored.classes.index(cls)]
    found = [auroc_influence(scored, index) for index in wanted if 0 < group.counts[index] < n]
    if not found:
        return Estimate(math.nan, math.nan, math.nan, 0, False, settings.min_count, "delong")
    sizes = [int(group.counts[index]) for index in wanted]
    least = min(s for s in sizes if s) if not cls else min(sizes[0], n - sizes[0])
    variance, quantile = _ranked_variance(np.mean(found, axis=0), cls, group)
    needed = settings.min_count if cls else _half(settings)

    def bounds(confidence: float) -> tuple[float, float]:
        return intervals.auroc_interval(value, variance, least, n - least, confidence, quantile)

    return _made(value, bounds, least, needed, "delong", settings)


def auroc_influence(scored: metrics.Scored, index: int) -> Array:
    """The influence of each row on the AUROC of a class, with the rows' weights."""
    scores, positive = scored.probs[:, index], scored.labels == index
    if scored.weights is None:
        return delong.influence(scores, positive)[1]
    return delong.weighted_influence(scores, positive, scored.weights)


def _ranked_variance(influences: Array, cls: str, group: GroupData) -> tuple[float, Quantile]:
    """Variance of a ranking metric and its quantile: strata are the classes, or a class and the others."""
    if group.clusters is None and group.scored.weights is None:
        return float(influences @ influences), z_of
    labels = group.scored.labels
    strata = (labels == group.scored.classes.index(cls)).astype(np.int64) if cls else labels
    rows = np.arange(len(labels)) if group.clusters is None else group.clusters
    variance, degrees = clusters.strata_variance(influences, strata, rows)
    return variance, intervals.student(degrees)


def _auprc(cls: str, value: float, group: GroupData, settings: CardSettings) -> Estimate:
    """Average precision of a class, or the mean over the classes that occur: the jackknife in Wilson's interval."""
    scored, units = group.scored, group.units
    wanted = np.flatnonzero(group.counts) if not cls else np.array([scored.classes.index(cls)])
    n = int(group.counts[wanted].min())
    own = np.array([units[wanted[0]], units.sum() - units[wanted[0]]]) if cls else units
    size, most = intervals.effective_size(own)
    if cls:
        most = float(own[0] - 1)  # a mean over the class's own rows
    found = [average_precision.influence(scored.probs[:, index], scored.labels == index)[1] for index in wanted]
    influences = np.mean(found, axis=0)
    degrees = min(average_precision.degrees(influences, group.clusters), most)
    variance, _ = _ranked_variance(influences, cls, group)
    needed = settings.min_count if cls else _half(settings)

    def bounds(confidence: float) -> tuple[float, float]:
        return intervals.score_interval(value, variance, size, intervals.student(degrees), confidence)

    return _made(value, bounds, n, needed, "jackknife", settings)


def _ece(value: float, group: GroupData, settings: CardSettings) -> Estimate:
    """Calibration error of the likeliest class, its bias removed."""
    scored, n, needed = group.scored, len(group.rows), 5 * settings.min_count
    right = scored.correct.astype(np.float64)
    sums = np.stack([np.bincount(scored.bins, weights=w) for w in (np.ones(n), scored.confidence, right)]).astype(float)
    effect, degrees = clusters.design(right, group.clusters, scored.bins)

    def bounds(confidence: float) -> tuple[float, float]:
        level = min(confidence_of(t_of(confidence, degrees)), 1 - 1e-9)
        low, high = calibration.ece_interval(sums[0], sums[1], sums[2], level, effect)
        return min(low, value), max(high, value)

    least = n + 1 if _of_one_patient(group, np.arange(n)) else needed
    return _made(value, bounds, n, needed, "moments", settings, least=least)


def _mean_of_shares(
    metric: MetricKey, values: Mapping[MetricKey, float], group: GroupData, settings: CardSettings
) -> Estimate:
    """The mean of a share over the classes: Price & Bonett, on the effective sizes where rows are clustered."""
    share = MetricKey(MEANS_OF.get(metric.kind, metric.kind), metric.threshold)
    classes = group.scored.classes
    rates, value, used = np.array([values[share._replace(cls=c)] for c in classes]), values[metric], group.counts > 0
    used &= np.isfinite(rates)
    if not used.any() or math.isnan(value):
        n = int(group.counts[group.counts > 0].min(initial=len(group.rows)))
        return Estimate(math.nan, math.nan, math.nan, n, False, _half(settings), "price-bonett")
    n, sizes = int(group.counts[used].min(initial=len(group.rows))), np.where(used, group.counts, 0)
    effect, degrees = clusters.INDEPENDENT
    if group.clusters is not None or group.scored.weights is not None:
        rows = used[group.scored.labels]
        hits = np.concatenate([metrics.hits(share._replace(cls=c), group.scored)[0] for c in np.array(classes)[used]])
        order = np.argsort(np.argsort(group.scored.labels[rows], kind="stable"), kind="stable")
        effect, degrees = clusters.design(
            hits[order], _of(group.clusters, rows), group.scored.labels[rows], _of(group.scored.weights, rows)
        )
    quantile = intervals.quantile_of(degrees, max(n, 1) * int(used.sum()))
    alone = sum(_smooth_variance(p, m) for p, m in zip(rates[used], sizes[used], strict=True))
    more = sum(_cut_error(share._replace(cls=c), group, settings) for c in np.array(classes)[used])
    cut = 1 + more / max(effect * alone, 1e-12)

    def bounds(confidence: float) -> tuple[float, float]:
        return intervals.mean_of_shares(rates, sizes, confidence, effect * cut, quantile)

    def given_the_cut(confidence: float) -> tuple[float, float]:
        return intervals.mean_of_shares(rates, sizes, confidence, effect, quantile)

    compared = given_the_cut if metric.threshold in SHARED else bounds
    return _made(value, bounds, n, _half(settings), "price-bonett", settings, compared=compared)


def _composite(metric: MetricKey, value: float, group: GroupData, settings: CardSettings) -> Estimate:
    """Macro F1 and the Brier score: the variance by their derivatives in Wilson's interval."""
    scored, units = group.scored, group.units
    size, _ = intervals.effective_size(units)
    n, needed, top, more = int(group.counts[group.counts > 0].min()), _half(settings), 1.0, 0.0
    if metric.kind == "brier":
        n, needed, top = len(group.rows), settings.min_count, 2.0 / metrics.brier_scale(scored)
        size = float(units.sum())
        more = part_of_a_miss(scored.confidence, len(scored.classes), size) / metrics.brier_scale(scored) ** 2
        influences: Array = metrics.within_labels(metrics.squared_errors(scored), scored) / scored.row_weights.sum()
    else:
        influences = metrics.macro_f1_influence(scored)
    rows = np.arange(len(group.rows)) if group.clusters is None else group.clusters
    variance, degrees = clusters.strata_variance(influences, scored.labels, rows)
    quantile = intervals.few_rows(max(n, 1)) if (group.counts == units).all() else intervals.student(degrees)

    def bounds(confidence: float) -> tuple[float, float]:
        return intervals.score_interval(value, variance + more, size, quantile, confidence, top)

    return _made(value, bounds, n, needed, "linearised", settings)


def part_of_a_miss(confidence: NDArray[np.floating], classes: int, size: float) -> float:
    """What a quarter of one more wrong row would add to the variance of the Brier score of `size` rows.

    Where no row is wrong the rows show almost no variance, although the next one may be wrong and cost
    2 (p_called - p_true). Without it 95 % covered 56 % of 30 rows of which one in 50 is wrong (docs/validation.md).
    """
    cost = 2 * (confidence - (1 - confidence) / (classes - 1))
    return 0.25 * (float(cost.mean()) / size) ** 2


def _recalibrated(group: GroupData, settings: CardSettings) -> Estimates:
    """Calibration slope and intercept: of the second class where there are two, else of the likeliest class."""
    scored = group.scored
    two = len(scored.classes) == 2
    chance, event = (scored.probs[:, 1], scored.labels == 1) if two else (scored.confidence, scored.correct)
    fit = calibration.recalibrate(chance, event, group.clusters)
    n = min(int(event.sum()), int((~event).sum()))
    found = {
        "calibration_slope": (fit.slope, *fit.slope_interval(settings.confidence)),
        "calibration_intercept": (fit.in_the_large, *fit.large_interval(settings.confidence)),
    }
    return {
        MetricKey(name): Estimate(*value, n, n >= settings.min_count, settings.min_count, "robust")
        for name, value in found.items()
    }


def _half(settings: CardSettings) -> int:
    """Rows that a mean over classes needs in each class."""
    return math.ceil(settings.min_count / 2)
