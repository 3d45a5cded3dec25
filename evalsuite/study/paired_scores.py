"""Scores of many arms under the same resamples of test items and seeds, so that every comparison is paired."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalsuite.fairness.predictions import Predictions
from evalsuite.stats import intervals, resampling
from evalsuite.stats.verdict import lacking
from evalsuite.study.names import Metric
from evalsuite.study.outcomes import weighted_score

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A score over seeds and test items, or the difference of two.

    Attributes
    ----------
    samples
        Bootstrap over items and seeds, [b].
    by_seed
        The score of each seed.
    n
        Test items.
    lacking
        What lacks for a verdict, in words; empty where nothing does.
    signed
        A difference, which may lie below 0.
    """

    value: float
    samples: Array
    by_seed: Array
    n: int
    lacking: str = ""
    signed: bool = False

    @property
    def variance(self) -> float:
        """Of the bootstrap. Of a difference at least that of two items: a few items that agree are no proof."""
        return max(float(self.samples.var(ddof=1)), 2 / (self.n + 2) ** 2 if self.signed else 0.0)

    @property
    def degrees(self) -> float:
        """Of the variance: few where few seeds make up most of it (Satterthwaite 1946)."""
        many, seeds = max(self.n - 1.0, 1.0), len(self.by_seed)
        if seeds < 2 or self.variance <= 0:
            return many
        part = min(1.0, float(self.by_seed.var(ddof=1)) / seeds / self.variance)
        return 1 / (part**2 / (seeds - 1) + (1 - part) ** 2 / many)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's for a score, on Fisher's scale for a difference: percentiles over two seeds cover 70 %, not 95."""
        if not self.signed:
            return intervals.score_interval(
                self.value, self.variance, self.n, intervals.student(self.degrees), confidence
            )
        return intervals.difference_interval(self.value, self.variance, self.degrees, confidence)

    def p(self) -> float:
        """Two-sided p that a difference is 0, consistent with the interval."""
        return intervals.difference_p(self.value, self.variance, self.degrees)

    def needed(self, error: float) -> tuple[int, int]:
        """About how many test items and seeds give a difference this standard error, half of its square from each."""
        seeds = len(self.by_seed)
        luck = min(self.variance, float(self.by_seed.var(ddof=1)) / seeds) if seeds > 1 else 0.0
        times = [2 * part / error**2 for part in (self.variance - luck, luck)]
        return max(self.n, math.ceil(self.n * times[0])), max(seeds, math.ceil(seeds * times[1]))

    def widened(self, confidence: float = 0.95) -> Array:
        """The samples, spread by Student's quantile over the normal's: where there is no closed form."""
        factor = intervals.t_of(confidence, self.degrees) / intervals.z_of(confidence)
        return np.asarray(self.samples.mean() + factor * (self.samples - self.samples.mean()))

    def minus(self, other: Score) -> Score:
        """The paired difference."""
        return contrast([self, other], np.array([1.0, -1.0]))


def mean_of(scores: Sequence[Score]) -> Score:
    """The mean over generators of the same seeds; their luck is part of what differs between seeds."""
    first = scores[0]
    if len(scores) == 1:
        return first
    samples, by_seed = (np.mean(parts, axis=0) for parts in zip(*((s.samples, s.by_seed) for s in scores), strict=True))
    return Score(float(by_seed.mean()), samples, by_seed, first.n, first.lacking)


def contrast(scores: Sequence[Score], weights: Array) -> Score:
    """The paired difference of two means of scores of the same items; both kinds of weights sum to 1, as +1 and -1."""
    value = float(weights @ [s.value for s in scores])
    samples, by_seed = (
        weights @ np.stack(parts) for parts in ([s.samples for s in scores], [s.by_seed for s in scores])
    )
    return Score(value, samples, by_seed, scores[0].n, scores[0].lacking, signed=True)


def slope(x: Array, scores: Sequence[Score]) -> tuple[float, float, float]:
    """The slope of the least-squares line through paired scores at x, [m], m >= 2, and its interval."""
    centred = x - x.mean()
    weights = centred / (centred @ centred)
    total = float(weights[weights > 0].sum())
    found = contrast(scores, weights / total)
    low, high = found.interval()
    return total * found.value, total * low, total * high


@dataclass(frozen=True)
class Resamples:
    """Weights that all arms of a study share.

    Attributes
    ----------
    items
        Weight of each test item, [n, b]; stratified by group x label, drawn by cluster.
    seeds
        Weight of each seed, [s, b], summing to s. With one seed they are ones, and intervals cover the test items
        only.
    clusters
        Patient or family of each item, as a code, [n].
    """

    items: Array
    seeds: Array
    labels: NDArray[np.int64]
    classes: int
    clusters: NDArray[np.int64]

    def score(self, outcomes: Sequence[Array | NDArray[np.bool_]], mask: NDArray[np.bool_], metric: Metric) -> Score:
        """The mean score over seeds, within a mask of items.

        Parameters
        ----------
        outcomes
            For each seed what `outcome` gives of each test item, [n] or [n, k].
        """
        values = [np.asarray(one, np.float64)[mask] for one in outcomes]
        weights, labels = self.items[mask], self.labels[mask]
        once = np.ones((len(labels), 1))
        plain = np.stack([weighted_score(one, once, labels, metric, self.classes)[0] for one in values])
        drawn = np.stack([weighted_score(one, weights, labels, metric, self.classes) for one in values])
        samples = (drawn * self.seeds).sum(axis=0) / self.seeds.sum(axis=0)
        by_class = metric in ("balanced_accuracy", "auroc")
        rarest = int(np.bincount(labels, minlength=self.classes).min()) if by_class else None
        lacks = lacking(len(labels), len(np.unique(self.clusters[mask])), rarest, len(values))
        return Score(float(plain.mean()), samples, plain, len(labels), lacks)


def resamples(test: Predictions, seeds: int, n_boot: int = 1000, seed: int = 0, group: str = "group") -> Resamples:
    """Draw the weights for a test set."""
    rng = np.random.default_rng([seed, 0xD05E])
    groups = test.groups[group].to_numpy(str) if group in test.groups else np.full(test.n, "")
    _, codes = np.unique(groups, return_inverse=True)
    strata = codes * len(test.classes) + test.labels
    clusters = None if test.clusters is None else np.unique(test.clusters, return_inverse=True)[1]
    items = resampling.bootstrap_weights(rng, resampling.units(strata, clusters), n_boot)
    drawn = resampling.bootstrap_weights(rng, resampling.units(np.zeros(seeds, dtype=np.int64), None), n_boot)
    own = np.arange(test.n) if clusters is None else clusters
    weights = np.asarray(items, np.float64), np.asarray(drawn, np.float64)
    return Resamples(*weights, test.labels, len(test.classes), own)
