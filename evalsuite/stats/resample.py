"""Resampling as weights: a bootstrap or a permutation is a matrix [rows, resamples] that every metric takes.

Units (patients, or rows where each stands alone) are drawn within strata (group x label), so that no resample
loses a class, as an unstratified one does in e^-1 of the cases where a cell holds a single row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t


@dataclass(frozen=True)
class Units:
    """What is drawn: unit of each row [n], and the stratum of each unit [u]."""

    of_row: NDArray[np.int64]
    stratum: NDArray[np.int64]

    @property
    def degrees(self) -> int:
        """Units less strata: what is left to learn a spread from."""
        return len(self.stratum) - len(np.unique(self.stratum))


def units(strata: NDArray[np.int64], clusters: NDArray[np.int64] | None) -> Units:
    """Units of a bootstrap: clusters (their stratum is that of most of their rows), or the rows themselves."""
    if clusters is None:
        return Units(np.arange(len(strata)), strata)
    _, of_row = np.unique(clusters, return_inverse=True)
    width = int(strata.max()) + 1
    votes = np.bincount(of_row * width + strata, minlength=(int(of_row.max()) + 1) * width)
    return Units(of_row, votes.reshape(-1, width).argmax(axis=1))


def bootstrap_weights(rng: np.random.Generator, of: Units, resamples: int) -> NDArray[np.floating]:
    """Weights of each row in each resample, float64 [n, resamples].

    m - 1 of the m units of a stratum are drawn and weighted m / (m - 1) (Rao & Wu 1988): the plain bootstrap
    shows only (m - 1) / m of the variance, which matters where strata hold five rows. A stratum of one unit keeps
    weight 1.
    """
    weights = np.ones((len(of.stratum), resamples))
    order = np.argsort(of.stratum, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(of.stratum[order]) > 0])
    offsets = np.arange(resamples)
    for members in np.split(order, starts[1:]):
        m = len(members)
        if m > 1:
            drawn = rng.integers(0, m, (m - 1, resamples)) * resamples + offsets
            counts = np.bincount(drawn.ravel(), minlength=m * resamples).reshape(m, resamples)
            weights[members] = counts * (m / (m - 1))
    return weights[of.of_row]


def permuted_groups(
    rng: np.random.Generator,
    groups: NDArray[np.int64],
    labels: NDArray[np.int64],
    clusters: NDArray[np.int64] | None,
    resamples: int,
) -> NDArray[np.int16]:
    """Group codes shuffled among units of the same label, int16 [n, resamples]: groups that do not matter.

    Sizes and case mix of the groups stay as they are. Rows of one cluster and group move together, so that a
    patient's correlation is in the null as well.
    """
    if clusters is None:
        unit_of, unit_group, unit_label = np.arange(len(groups)), groups, labels
    else:
        _, block = np.unique(np.stack([clusters, groups]), axis=1, return_inverse=True)
        blocks = units(labels, block.ravel())
        unit_of, unit_label = blocks.of_row, blocks.stratum
        unit_group = np.zeros(len(unit_label), dtype=np.int64)
        unit_group[unit_of] = groups
    shuffled = np.empty((len(unit_label), resamples), dtype=np.int16)
    for label in np.unique(unit_label):
        members = np.flatnonzero(unit_label == label)
        column = np.repeat(unit_group[members].astype(np.int16)[:, None], resamples, axis=1)
        shuffled[members] = rng.permuted(column, axis=0)
    return shuffled[unit_of]


def percentile(
    samples: NDArray[np.floating], confidence: float = 0.95, degrees: int | None = None
) -> tuple[float, float]:
    """Percentile interval, its tails widened from the normal's to Student's (Hesterberg 2015); NaN without samples.

    Parameters
    ----------
    degrees
        Units less strata; None leaves the percentiles as they are.
    """
    samples = samples[np.isfinite(samples)]
    if len(samples) < 2:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    if degrees is not None:
        tail = float(norm.cdf(t.ppf(tail, max(degrees, 1))))
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def spread_interval(
    values: NDArray[np.floating], drawn: NDArray[np.floating], confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the largest difference between groups, max - min, that holds although the pair was picked.

    Parameters
    ----------
    values, drawn
        The metric of each group, [groups], and its bootstrap, [groups, resamples]; with a leading axis where the
        largest difference over several rates counts (equalised odds).

    Every pair gets a bound; the lower ones hold together (max-T over the pairs), which pays for the picking. The
    plain bootstrap of max - min is biased upwards and excludes its own estimate after correction.
    """
    values, drawn = np.atleast_2d(values), drawn if drawn.ndim == 3 else drawn[None]
    errors = drawn - drawn.mean(axis=2, keepdims=True)
    i, j = np.triu_indices(values.shape[1], 1)
    pair_errors = (errors[:, i] - errors[:, j]).reshape(-1, drawn.shape[2])
    spread = np.maximum(pair_errors.std(axis=1, ddof=1), 1e-12)
    difference = np.abs(values[:, i] - values[:, j]).ravel()
    tail = (1 - confidence) / 2
    together = float(np.quantile(np.abs(pair_errors / spread[:, None]).max(axis=0), 1 - 2 * tail))
    low = float((difference - together * spread).max())
    high = float((difference + norm.ppf(1 - tail) * spread).max())
    return max(0.0, low), high


def p_value(observed: float, null: NDArray[np.floating]) -> float:
    """Share of null draws at least as large, the observed one counted among them; NaN where undefined."""
    null = null[np.isfinite(null)]
    if not np.isfinite(observed) or not len(null):
        return float("nan")
    return (1 + int((null >= observed - 1e-12).sum())) / (1 + len(null))


def chance(null: NDArray[np.floating]) -> tuple[float, float]:
    """Mean and 95th percentile of a null gap; NaN where undefined."""
    null = null[np.isfinite(null)]
    if not len(null):
        return float("nan"), float("nan")
    return float(null.mean()), float(np.quantile(null, 0.95))
