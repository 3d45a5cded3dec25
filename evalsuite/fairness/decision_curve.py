"""Net benefit of acting on a probability, over thresholds (Vickers & Elkin 2006), with intervals.

Whoever acts at a probability of t takes (1 - t) / t needless actions for one needed one. Net benefit is true positives
less false positives at that exchange, per image; acting on all, or on none, are what it must beat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalsuite.stats import clusters as clustering
from evalsuite.stats import intervals
from evalsuite.stats.resampling import Array

THRESHOLDS: NDArray[np.floating] = np.arange(1, 61) / 100


def at_prevalence(chance: Array, before: float, after: float) -> Array:
    """Probabilities at another prevalence, by Bayes' rule (Elkan 2001): right where they are calibrated at before."""
    odds = chance * (1 - before) * after
    against = (1 - chance) * before * (1 - after)
    return np.asarray(odds / np.maximum(odds + against, 1e-300))


@dataclass(frozen=True)
class DecisionCurve:
    """Each [thresholds]; per image, at the prevalence."""

    thresholds: Array
    net_benefit: Array
    low: Array
    high: Array
    treat_all: Array
    prevalence: float


def decision_curve(
    chance: Array,
    positive: NDArray[np.bool_],
    *,
    prevalence: float | None = None,
    clusters: NDArray[np.int64] | None = None,
    weights: Array | None = None,
    thresholds: Array = THRESHOLDS,
    confidence: float = 0.95,
) -> DecisionCurve:
    """Net benefit of calling positive where the probability is at least the threshold.

    Parameters
    ----------
    chance, positive
        Probability of the positive classes, and whether an image is of one, [n]; both kinds must occur.
    prevalence
        Share of positives where the classifier is used; None: that of the images.
    clusters, weights
        Patient of each image; survey weights.
    """
    w = np.ones(len(positive)) if weights is None else weights
    share = float(w[positive].sum() / w.sum()) if prevalence is None else prevalence
    exchange = thresholds / (1 - thresholds)
    found = [
        _at(chance >= t, positive, share, (1 - share) * e, clusters, weights, confidence)
        for t, e in zip(thresholds, exchange, strict=True)
    ]
    value, low, high = np.array(found).T
    return DecisionCurve(thresholds, value, low, high, share - (1 - share) * exchange, share)


def _at(
    called: NDArray[np.bool_],
    positive: NDArray[np.bool_],
    gain: float,
    cost: float,
    clusters: NDArray[np.int64] | None,
    weights: Array | None,
    confidence: float,
) -> tuple[float, float, float]:
    """gain x sensitivity - cost x false positive rate; its interval from those of both shares (MOVER)."""
    (hit, hit_low, hit_high), (false, false_low, false_high) = (
        _share(called, rows, clusters, weights, confidence) for rows in (positive, ~positive)
    )
    value = gain * hit - cost * false
    below = math.hypot(gain * (hit - hit_low), cost * (false_high - false))
    above = math.hypot(gain * (hit_high - hit), cost * (false - false_low))
    return value, value - below, value + above


def _share(
    called: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    clusters: NDArray[np.int64] | None,
    weights: Array | None,
    confidence: float,
) -> tuple[float, float, float]:
    """Share of the rows that are called, and its Wilson interval on the effective size."""
    hits, own = called[rows].astype(np.float64), None if weights is None else weights[rows]
    value, n = float(np.average(hits, weights=own)), len(hits)
    effect, degrees = clustering.design(hits, None if clusters is None else clusters[rows], None, own)
    return value, *intervals.wilson(value * n, n, confidence, effect, intervals.student(degrees))
