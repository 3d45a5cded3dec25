"""The gap that there would be if skin types were known without error, from two raters of the same images.

A rating that is off by a step mixes the groups, so that the gap between rated groups is smaller than between true ones
(attenuation). Two raters show how often ratings are off: the true type is a latent class of which both ratings are
errors (Dawid & Skene 1979), an error of d steps as likely as rho^d, and all is fitted by maximum likelihood (EM). It
takes for granted that both raters err alike and apart from each other, and as often on images classified wrong.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import chi2

from dermforge.common.missing import UNKNOWN
from evalsuite.fairness import metrics
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.stats import intervals, resampling
from evalsuite.stats.resampling import Array

SHARES = ("accuracy", "top3", "sensitivity", "specificity")
ROUNDS, TOLERANCE = 1000, 1e-6
RESAMPLES = 400


@dataclass(frozen=True)
class Corrected:
    """A difference between groups by rater A, and without rating errors.

    Attributes
    ----------
    worse, better
        The groups on each side.
    observed
        Rate of the better less that of the worse groups, by rater A.
    corrected, low, high
        The same between true groups, with its bootstrap interval over patients.
    off
        Estimated share of ratings that are not the true group.
    alike_p
        p of Bowker's test that the raters use the scale alike; below 0.05 the correction rests on a wrong assumption.
    n
        Rows with both ratings that the metric uses.
    """

    worse: tuple[str, ...]
    better: tuple[str, ...]
    observed: float
    corrected: float
    low: float
    high: float
    off: float
    alike_p: float
    n: int

    def text(self) -> str:
        """In a sentence."""
        said = (
            f"{', '.join(self.better)} less {', '.join(self.worse)}: {self.observed:+.3f} by rater A, "
            f"{self.corrected:+.3f} ({self.low:+.3f} to {self.high:+.3f}) without rating errors ({self.off:.0%} of the "
            "ratings are estimated to be off)"
        )
        unlike = f"; the raters use the scale differently (p {self.alike_p:.3f}), so that this may be wrong"
        return said + (unlike if self.alike_p < 0.05 else "")


@dataclass(frozen=True)
class _Counts:
    """Images by both ratings: that the metric does not use [r, k, k], and that it uses, missed and hit [r, k, k, 2]."""

    others: Array
    used: Array


@dataclass(frozen=True)
class _Fit:
    """By resample r: log of rho [r], share of each true group among the others and the used [r, k], rate [r, k]."""

    log_rho: Array
    others: Array
    used: Array
    rate: Array


def correct(
    predictions: Predictions,
    raters: Sequence[str],
    metric: MetricKey,
    worse: Collection[str],
    better: Collection[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Corrected | None:
    """The difference between two sets of groups, corrected; None for a metric that is no share, or with survey weights.

    Parameters
    ----------
    raters
        Columns of rater A and rater B on one ordered scale; rows without both ratings are left out.
    worse, better
        Groups that are compared, as in rater A's column.
    """
    if metric.kind not in SHARES or metric.threshold or predictions.weights is not None:
        return None
    both = np.all([(predictions.groups[column] != UNKNOWN).to_numpy() for column in raters[:2]], axis=0)
    rated = predictions.take(both)
    names = levels({*rated.groups[raters[0]], *rated.groups[raters[1]]})
    codes = [np.array([names.index(g) for g in rated.groups[column]]) for column in raters[:2]]
    scored = metrics.score(rated.probs, rated.labels, rated.classes, called=rated.called)
    hits, rows = metrics.hits(metric, scored)
    outcome = np.full(rated.n, 2)
    outcome[rows] = hits
    sides = [[names.index(g) for g in groups if g in names] for groups in (worse, better)]
    if not len(rows) or not all(sides):
        return None
    point = _fit(_counted(codes, outcome, len(names), np.ones((rated.n, 1))))
    drawn = []
    units, rng = resampling.family_units(rated.clusters, rated.n), np.random.default_rng(seed)
    for size in resampling.chunks(resamples, 50):
        weights = resampling.bootstrap_weights(rng, units, size)
        drawn.append(_difference(_fit(_counted(codes, outcome, len(names), weights), point), sides))
    low, high = intervals.percentile(np.concatenate(drawn), confidence)
    of_a = [np.isin(codes[0][rows], side) for side in sides]
    observed = float(hits[of_a[1]].mean() - hits[of_a[0]].mean()) if all(side.any() for side in of_a) else math.nan
    value = float(_difference(point, sides)[0])
    off = 1 - _true_ratings(point, len(names))
    return Corrected(
        tuple(worse), tuple(better), observed, value, min(low, value), max(high, value), off, _alike(codes), len(rows)
    )


def _counted(codes: Sequence[NDArray[np.int64]], outcome: NDArray[np.int64], k: int, weights: Array) -> _Counts:
    """Weighted counts; outcome: 0 missed, 1 hit, 2 not used."""
    cell = (codes[0] * k + codes[1]) * 3 + outcome
    indicator = sparse.csr_matrix((np.ones(len(cell)), (cell, np.arange(len(cell)))), shape=(k * k * 3, len(cell)))
    sums = (indicator @ weights).T.reshape(-1, k, k, 3)
    return _Counts(sums[..., 2], sums[..., :2])


def _fit(counts: _Counts, start: _Fit | None = None) -> _Fit:
    """Maximum likelihood by EM, with a Newton step for rho in each round."""
    r, k = counts.used.shape[:2]
    whole = counts.used.sum(axis=-1)
    if start is None:
        margin = (whole + counts.others).sum(axis=1) + (whole + counts.others).sum(axis=2) + 1.0
        share = margin / margin.sum(axis=1, keepdims=True)
        rate = np.full((r, k), counts.used[..., 1].sum() / max(counts.used.sum(), 1))
        now = _Fit(np.full(r, math.log(0.1)), share, share, rate)
    else:
        now = _Fit(*(np.repeat(part, r, axis=0) for part in (start.log_rho, start.others, start.used, start.rate)))
    for _ in range(ROUNDS):
        new = _round(counts, now)
        moved = max(float(np.abs(new.rate - now.rate).max()), float(np.abs(new.used - now.used).max()))
        now = new
        if moved < TOLERANCE:
            break
    return now


def _round(counts: _Counts, now: _Fit) -> _Fit:
    """One round of EM; axes: resample, true group, rating A, rating B, outcome."""
    error = _errors(now.log_rho, now.rate.shape[1])
    ratings = error[:, :, :, None] * error[:, :, None, :]
    others = now.others[:, :, None, None] * ratings
    others *= (counts.others / np.maximum(others.sum(axis=1), 1e-300))[:, None]
    outcome = np.stack([1 - now.rate, now.rate], axis=-1)[:, :, None, None, :]
    used = (now.used[:, :, None, None] * ratings)[..., None] * outcome
    used *= (counts.used / np.maximum(used.sum(axis=1), 1e-300))[:, None]
    of_other, of_used, hit = others.sum(axis=(2, 3)), used.sum(axis=(2, 3, 4)), used[..., 1].sum(axis=(2, 3))
    together = others + used.sum(axis=-1)
    return _Fit(
        _newton(now.log_rho, error, together.sum(axis=3) + together.sum(axis=2)),
        of_other / np.maximum(of_other.sum(axis=1, keepdims=True), 1e-300),
        of_used / np.maximum(of_used.sum(axis=1, keepdims=True), 1e-300),
        np.clip(hit / np.maximum(of_used, 1e-300), 1e-6, 1 - 1e-6),
    )


def _errors(log_rho: Array, k: int) -> Array:
    """Chance of each rating given the true group, [r, true, rated]: proportional to rho to the power of the steps."""
    chance = np.exp(log_rho[:, None, None] * _steps(k))
    return np.asarray(chance / chance.sum(axis=2, keepdims=True))


def _steps(k: int) -> Array:
    return np.asarray(np.abs(np.arange(k)[:, None] - np.arange(k)[None, :]), dtype=np.float64)


def _newton(log_rho: Array, error: Array, ratings: Array) -> Array:
    """A step of log rho; ratings: expected number of each rating by true group, [r, true, rated]."""
    steps = _steps(error.shape[1])
    mean = (error * steps).sum(axis=2)
    variance = (error * steps**2).sum(axis=2) - mean**2
    total = ratings.sum(axis=2)
    slope, curve = (ratings * steps).sum(axis=(1, 2)) - (total * mean).sum(axis=1), (total * variance).sum(axis=1)
    return np.asarray(np.clip(log_rho + np.clip(slope / np.maximum(curve, 1e-9), -1, 1), -12.0, -0.05))


def _difference(fit: _Fit, sides: Sequence[Sequence[int]]) -> Array:
    """Rate of the better less that of the worse groups, [r]: true groups in their shares."""
    worse, better = (
        (fit.used[:, side] * fit.rate[:, side]).sum(axis=1) / np.maximum(fit.used[:, side].sum(axis=1), 1e-300)
        for side in sides
    )
    return np.asarray(better - worse)


def _true_ratings(fit: _Fit, k: int) -> float:
    """Share of ratings that are the true group."""
    return float((fit.used[0] * np.diagonal(_errors(fit.log_rho, k)[0])).sum())


def _alike(codes: Sequence[NDArray[np.int64]]) -> float:
    """p of Bowker's test of symmetry (1948): as many images up a step as down; 1 where the raters always agree."""
    k = int(max(c.max() for c in codes)) + 1
    table = np.zeros((k, k))
    np.add.at(table, (codes[0], codes[1]), 1)
    both = (table + table.T)[np.triu_indices(k, 1)]
    apart = (table - table.T)[np.triu_indices(k, 1)]
    seen = both > 0
    return float(chi2.sf((apart[seen] ** 2 / both[seen]).sum(), int(seen.sum()))) if seen.any() else 1.0
