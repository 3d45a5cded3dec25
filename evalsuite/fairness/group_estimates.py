"""The estimates of one group: each metric's value, its interval, and whether there are rows enough to show it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalsuite.fairness import metrics
from evalsuite.fairness.card import Row
from evalsuite.fairness.metrics import Scored, Values
from evalsuite.stats import average_precision, calibration, delong, intervals, resampling, shrinkage
from evalsuite.stats.estimate import Estimate

PROPORTIONS = ("accuracy", "top3", "sensitivity", "specificity")
MEANS_OF = {"balanced_accuracy": "sensitivity"}  # a mean of the classes' shares under another name
HIDDEN = ("ece_plugin", "selection")  # computed for gaps and tests, not shown of a group


@dataclass(frozen=True)
class Settings:
    """How the card is computed.

    Attributes
    ----------
    n_boot
        Resamples of the bootstrap and of the permutations.
    specificity
        The fixed specificity of `sensitivity@...`.
    min_count
        Rows a proportion needs, and each side of an AUROC; a mean over classes needs half of it in each class.
    half_width
        Half width of a useful interval, for "the n that would be needed".
    """

    n_boot: int = 1000
    seed: int = 0
    confidence: float = 0.95
    specificity: float = 0.9
    min_count: int = 10
    half_width: float = 0.1
    intersections: bool = True


@dataclass(frozen=True)
class Cell:
    """The rows of one group, prepared, and where they lie in the table."""

    rows: NDArray[np.int64]
    scored: Scored


def row(
    column: str,
    name: str,
    cell: Cell,
    clusters: NDArray[np.int64] | None,
    samples: Values,
    overall: Mapping[str, Estimate],
    options: Settings,
) -> Row:
    """All estimates of one group."""
    scored = cell.scored
    own = None if clusters is None else clusters[cell.rows]
    counts = np.bincount(scored.labels, minlength=len(scored.classes))
    units = np.bincount(resampling.units(scored.labels, own).stratum, minlength=len(scored.classes))
    values = metrics.one(scored)
    made: dict[str, Estimate] = {}
    for metric, value in values.items():
        kind, _, cls = metric.partition(":")
        if kind in HIDDEN:
            continue
        if kind.partition("@")[0] in PROPORTIONS and (cls or kind in PROPORTIONS):
            made[metric] = _proportion(metric, value, scored, own, overall, options)
        elif kind == "auroc":
            made[metric] = _auroc(cls, value, scored, own, options)
        elif kind == "auprc":
            made[metric] = _auprc(cls, value, scored, own, units, options)
        elif kind == "ece":
            made[metric] = _ece(value, scored, own, options)
        elif kind in MEANS_OF or kind.startswith("sensitivity@"):
            made[metric] = _mean_of_shares(metric, scored.classes, values, samples, counts, units, options)
        else:
            made[metric] = _composite(metric, value, samples, counts, units, scored, options)
    made |= _recalibrated(scored, own, options)
    return Row(
        column,
        name,
        len(cell.rows),
        None if own is None else len(np.unique(own)),
        dict(zip(scored.classes, (int(c) for c in counts), strict=True)),
        made,
    )


def _proportion(
    metric: str,
    value: float,
    scored: Scored,
    clusters: NDArray[np.int64] | None,
    overall: Mapping[str, Estimate],
    options: Settings,
) -> Estimate:
    """A share of rows: Wilson, on the effective size where rows are clustered."""
    hits, rows = metrics.hits(metric, scored)
    deff = intervals.design_effect(hits, None if clusters is None else clusters[rows]) if len(hits) else 1.0
    low, high = intervals.wilson(float(hits.sum()), len(hits), options.confidence, deff)
    expected = overall[metric].value if metric in overall else value
    useful = intervals.n_for_half_width(expected, options.half_width, options.confidence) * deff
    needed = max(options.min_count, math.ceil(useful))
    return Estimate(value, low, high, len(hits), len(hits) >= options.min_count, needed, "wilson")


def _auroc(cls: str, value: float, scored: Scored, clusters: NDArray[np.int64] | None, options: Settings) -> Estimate:
    """AUROC of a class, or the mean over the defined classes, by DeLong; clusters summed first."""
    wanted = range(len(scored.classes)) if not cls else [scored.classes.index(cls)]
    found = [
        delong.influence(scored.probs[:, index], scored.labels == index)
        for index in wanted
        if 0 < (scored.labels == index).sum() < len(scored.labels)
    ]
    if not found:
        return Estimate(math.nan, math.nan, math.nan, 0, False, options.min_count, "delong")
    sizes = [int((scored.labels == index).sum()) for index in wanted]
    least = min(s for s in sizes if s) if not cls else min(sizes[0], len(scored.labels) - sizes[0])
    variance = delong.variance(np.mean([values for _, values in found], axis=0), clusters)
    low, high = intervals.auroc_interval(value, variance, least, len(scored.labels) - least, options.confidence)
    needed = options.min_count if cls else math.ceil(options.min_count / 2)
    return Estimate(value, low, high, least, least >= needed, needed, "delong")


def _auprc(
    cls: str,
    value: float,
    scored: Scored,
    clusters: NDArray[np.int64] | None,
    units: NDArray[np.int64],
    options: Settings,
) -> Estimate:
    """Average precision of a class, or the mean over the classes that occur: the jackknife in Wilson's interval."""
    sizes = np.bincount(scored.labels, minlength=len(scored.classes))
    wanted = np.flatnonzero(sizes) if not cls else np.array([scored.classes.index(cls)])
    n = int(sizes[wanted].min())
    found = [average_precision.influence(scored.probs[:, index], scored.labels == index)[1] for index in wanted]
    own = np.array([units[wanted[0]], units.sum() - units[wanted[0]]]) if cls else units
    size, most = intervals.effective_size(own)
    if cls:
        most = float(own[0] - 1)  # a mean over the class's own rows
    influences = np.mean(found, axis=0)
    degrees = min(average_precision.degrees(influences, clusters), most)
    low, high = intervals.score_interval(
        value, delong.variance(influences, clusters), size, degrees, options.confidence
    )
    needed = options.min_count if cls else math.ceil(options.min_count / 2)
    return Estimate(value, low, high, n, n >= needed, needed, "jackknife")


def _ece(value: float, scored: Scored, clusters: NDArray[np.int64] | None, options: Settings) -> Estimate:
    """Calibration error of the likeliest class, its bias removed."""
    n, needed = len(scored.labels), 5 * options.min_count
    right = scored.correct.astype(np.float64)
    sums = np.stack([np.bincount(scored.bins, weights=w) for w in (np.ones(n), scored.confidence, right)]).astype(float)
    deff = intervals.design_effect(right, clusters)
    low, high = calibration.ece_interval(sums[0], sums[1], sums[2], options.confidence, deff)
    return Estimate(value, min(low, value), max(high, value), n, n >= needed, needed, "moments")


def _mean_of_shares(
    metric: str,
    classes: Sequence[str],
    values: Mapping[str, float],
    samples: Values,
    counts: NDArray[np.int64],
    units: NDArray[np.int64],
    options: Settings,
) -> Estimate:
    """The mean of a share over the classes: Price & Bonett, on the effective sizes where rows are clustered.

    Parameters
    ----------
    counts, units
        Rows of each class, and the patients (or rows) that are resampled.
    """
    rates = np.array([values[f"{MEANS_OF.get(metric, metric)}:{c}"] for c in classes])
    n, deff = int(counts[counts > 0].min()), 1.0
    if (counts != units).any():
        used = counts > 0
        alone = float((rates[used] * (1 - rates[used]) / counts[used]).sum()) / used.sum() ** 2
        deff = float(np.nanvar(samples[metric], ddof=1)) / alone if alone > 0 else counts.sum() / units.sum()
    low, high = intervals.mean_of_shares(rates, counts, options.confidence, deff)
    needed = math.ceil(options.min_count / 2)
    return Estimate(values[metric], low, high, n, n >= needed, needed, "price-bonett")


def _composite(
    metric: str,
    value: float,
    samples: Values,
    counts: NDArray[np.int64],
    units: NDArray[np.int64],
    scored: Scored,
    options: Settings,
) -> Estimate:
    """Macro F1 and the Brier score: the variance of the bootstrap in Wilson's interval.

    The variance of counts follows from the counts, so the quantile is the normal one, as Wilson's is; that of clusters
    is learnt from them. Arguments as `_mean_of_shares`.
    """
    size, degrees = intervals.effective_size(units)
    n, needed, top, more = int(counts[counts > 0].min()), math.ceil(options.min_count / 2), 1.0, 0.0
    if metric == "brier":
        n, needed, top = int(counts.sum()), options.min_count, 2.0
        size, degrees = float(units.sum()), float(units.sum() - (units > 0).sum())
        more = part_of_a_miss(scored.confidence, len(scored.classes), size)
    if (counts == units).all():
        degrees = math.inf
    drawn = samples[metric][np.isfinite(samples[metric])]
    variance = float(drawn.var(ddof=1)) + more if len(drawn) > 1 else math.nan
    low, high = intervals.score_interval(value, variance, size, degrees, options.confidence, top)
    return Estimate(value, low, high, n, n >= needed, needed, "bootstrap")


def part_of_a_miss(confidence: NDArray[np.floating], classes: int, size: float) -> float:
    """What a quarter of a row more that is wrong would add to the variance of a Brier score of `size` rows.

    Where no row is wrong a bootstrap sees next to no variance, although a miss in the next row costs 2 (p_called -
    p_true). Without this 95 % covered 56 where one row in fifty is wrong and there are 30 (docs/intervals.md).
    """
    cost = 2 * (confidence - (1 - confidence) / (classes - 1))
    return 0.25 * (float(cost.mean()) / size) ** 2


def _recalibrated(scored: Scored, clusters: NDArray[np.int64] | None, options: Settings) -> dict[str, Estimate]:
    """Calibration slope and intercept: of the second class where there are two, else of the likeliest class."""
    if len(scored.classes) == 2:
        fit = calibration.recalibrate(scored.probs[:, 1], scored.labels == 1, clusters)
        events = int((scored.labels == 1).sum())
    else:
        fit = calibration.recalibrate(scored.confidence, scored.correct, clusters)
        events = int(scored.correct.sum())
    n = min(events, len(scored.labels) - events)
    enough = n >= options.min_count
    return {
        "calibration_slope": Estimate(
            fit.slope, *fit.slope_interval(options.confidence), n, enough, options.min_count, "robust"
        ),
        "calibration_intercept": Estimate(
            fit.in_the_large, *fit.large_interval(options.confidence), n, enough, options.min_count, "robust"
        ),
    }


def shrink(rows: Sequence[Row], options: Settings) -> list[Row]:
    """Accuracy of the intersections, each leaning on the others."""
    n = np.array([row.n for row in rows], dtype=np.float64)
    hits = np.array([row.metrics["accuracy"].value for row in rows]) * n
    fit = shrinkage.beta_binomial(hits, n, options.confidence)
    return [
        replace(
            row,
            shrunk=Estimate(
                float(fit.value[i]), float(fit.low[i]), float(fit.high[i]), row.n, True, 0, "beta-binomial"
            ),
        )
        for i, row in enumerate(rows)
    ]
