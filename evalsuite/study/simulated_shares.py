"""Shares and differences of shares in simulated studies: their means, variances and p values, many studies at a time.

A patient's images agree as in the pilot: each takes, with probability sqrt(correlation), the patient's own value, and
else draws for itself, so that two of them correlate as they do there. The tests are those of differences of shares with
the patients' variance and Student's quantile, on Fisher's scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from evalsuite.study.pilot import PilotPair, Population

Array = NDArray[np.floating]
MANY = 2000  # patients, from which on the mean of a group is drawn from the normal


@dataclass(frozen=True)
class Means:
    """Simulated means of a group with their estimated variances, [simulations] each, from so many patients."""

    mean: Array
    variance: Array
    patients: int


def binary(rng: np.random.Generator, of: Population, rate: float, patients: int, simulations: int) -> Means:
    """Means of right and wrong."""
    rate = min(max(rate, 0.0), 1.0)
    if patients > MANY:
        return _normal(rng, of, rate, rate * (1 - rate), patients, simulations)
    sizes = rng.choice(of.sizes, (simulations, patients))
    copies = rng.binomial(sizes, math.sqrt(of.correlation))
    hits = (rng.random(sizes.shape) < rate) * copies + rng.binomial(sizes - copies, rate)
    found = _ratio(hits.astype(np.float64), sizes)
    # a group without a mistake has no variance to show, and yet is not sure
    total = sizes.sum(axis=1)
    smooth = (hits.sum(axis=1) + 1) / (total + 2)
    return Means(found.mean, np.maximum(found.variance, smooth * (1 - smooth) / (total + 2)), patients)


def paired(
    rng: np.random.Generator,
    pilot: PilotPair,
    gain: float,
    discordant: float,
    patients: int,
    seeds: int,
    simulations: int,
) -> Means:
    """Means of +1, 0 and -1, averaged over trainings: what does not last is divided by their number."""
    of, left = pilot.population, pilot.lasting + (1 - pilot.lasting) / seeds
    if patients > MANY:
        return _normal(rng, of, gain, left * (discordant - gain**2), patients, simulations)
    plus, minus = (discordant + gain) / 2, (discordant - gain) / 2
    sizes = rng.choice(of.sizes, (simulations, patients))
    copies = rng.binomial(sizes, math.sqrt(of.correlation))
    u = rng.random(sizes.shape)
    own = (u < plus) * 1.0 - (u > 1 - minus)
    better = rng.binomial(sizes - copies, plus)
    worse = rng.binomial(sizes - copies - better, minus / (1 - plus) if plus < 1 else 0.0)
    sums = own * copies + better - worse
    found = _ratio(gain * sizes + math.sqrt(left) * (sums - gain * sizes), sizes)
    n = sizes.sum(axis=1)
    return Means(found.mean, np.maximum(found.variance, 2 / (n + 2) ** 2), patients)


def _normal(
    rng: np.random.Generator, of: Population, mean: float, variance: float, patients: int, simulations: int
) -> Means:
    """Many patients: the mean is normal and its variance known."""
    sizes = of.sizes.astype(np.float64)
    of_mean = variance * float((sizes + sizes * (sizes - 1) * of.correlation).mean()) / (patients * sizes.mean() ** 2)
    return Means(rng.normal(mean, math.sqrt(of_mean), simulations), np.full(simulations, of_mean), patients)


def _ratio(sums: Array, sizes: NDArray[np.int64]) -> Means:
    """Sums over sizes with the variance between patients, [simulations, patients]."""
    total, m = sizes.sum(axis=1), sizes.shape[1]
    mean = sums.sum(axis=1) / total
    rest = sums - mean[:, None] * sizes
    return Means(mean, m / (m - 1) * (rest**2).sum(axis=1) / total**2, m)


def p_of_means(a: Means, b: Means) -> Array:
    """Two-sided p of a - b (Welch-Satterthwaite)."""
    variance = a.variance + b.variance
    parts = a.variance**2 / (a.patients - 1) + b.variance**2 / (b.patients - 1)
    return p_of(a.mean - b.mean, variance, variance**2 / np.maximum(parts, 1e-300))


def degrees(item: Means, seen: Array, seeds: int) -> Array:
    parts = item.variance**2 / (item.patients - 1) + (seen**2 / (seeds - 1) if seeds > 1 else 0.0)
    return np.asarray((item.variance + seen) ** 2 / np.maximum(parts, 1e-300))


def p_of(value: Array, variance: Array, degrees: Array) -> Array:
    """As `intervals.difference_p`, for arrays."""
    error = np.sqrt(np.maximum(variance, 1e-12))
    most = np.maximum(1 - error, 0.5)
    inside = np.clip(value, -most, most)
    return np.asarray(2 * student.sf(np.abs(np.arctanh(inside)) * (1 - inside**2) / error, np.maximum(degrees, 1.0)))
