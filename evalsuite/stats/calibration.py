"""Calibration: equal-mass bins, ECE with its bias removed, slope and intercept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit, ndtri

from evalsuite.stats.intervals import t_of


def equal_mass_bins(confidence: NDArray[np.floating], most: int = 15, least_rows: int = 20) -> NDArray[np.int64]:
    """Bin of each row, int [n]: equal counts, ties together, at most `most` bins of about `least_rows` rows."""
    count = int(np.clip(len(confidence) // least_rows, 1, most))
    edges = np.unique(np.quantile(confidence, np.arange(1, count) / count)) if count > 1 else np.array([])
    _, bins = np.unique(np.searchsorted(edges, confidence, side="right"), return_inverse=True)
    return bins.astype(np.int64)


def ece(
    weight: NDArray[np.floating], confidence: NDArray[np.floating], hits: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Expected calibration error: (plug-in, with its bias removed), each [b].

    Parameters
    ----------
    weight, confidence, hits
        Sums over each bin, [bins, b]: of the weights, of weight x confidence, of weight x correct.

    The plug-in is biased upwards: |gap| of a perfectly calibrated bin of 20 rows averages 0.09. The correction matches
    moments: it takes the true gaps to be the observed ones times a factor from 0 to 1, such that these smaller gaps
    plus normal errors average to the plug-in. Calibrated predictions then give about 0; clear gaps keep their size.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share, gap, error = _bin_gaps(weight, confidence, hits)
        plain = (share * gap).sum(axis=0)
        low, high = np.zeros_like(plain), np.ones_like(plain)
        for _ in range(12):  # bisection; the twelfth step is below 0.001 of the plug-in
            middle = (low + high) / 2
            over = (share * _folded_normal_mean(middle * gap, error)).sum(axis=0) > plain
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        scale = np.where(high < 1e-3, 0.0, (low + high) / 2)
    return plain, scale * plain


def ece_interval(
    weight: NDArray[np.floating],
    confidence: NDArray[np.floating],
    hits: NDArray[np.floating],
    level: float = 0.95,
    deff: float = 1.0,
) -> tuple[float, float]:
    """Interval of the bias-corrected ECE: the values under which the plug-in is not unusual; sums over bins, [bins].

    A bootstrap fails: it adds the noise that causes the bias, and never reaches 0. The plug-in is skewed, so its
    quantiles are Cornish & Fisher's. Near 0, where a small plug-in is no evidence against a value, all of the 5 % lie
    above (an idea of Feldman & Cousins 1998), so that calibrated predictions are covered as stated.
    """
    used = weight > 0
    if not used.any():
        return math.nan, math.nan
    rows, said, rate = weight[used], confidence[used] / weight[used], hits[used] / weight[used]
    share, plain, tail = rows / rows.sum(), float(weight[used] @ np.abs(rate - said) / rows.sum()), (1 - level) / 2
    direction = (rate - said) / plain if plain > 1e-9 else np.sign(0.5 - said)
    # the bins' shares of the error are half noise, and noise makes the plug-in larger: go half way to equal shares
    direction = np.sign(direction) * (np.abs(direction) + 1) / 2
    grid = np.linspace(0, plain + 4 * math.sqrt(deff / rows.sum()), 600)
    true = grid[:, None] * direction
    # standard errors if the value were true (a score interval); at 0 the rates equal the confidence
    expected = (rows * np.clip(said + true, 0, 1) + 1) / (rows + 2)  # a hit and a miss added: every bin has an error
    quantile = _plug_in_quantiles(np.abs(true), np.sqrt(expected * (1 - expected) * deff / rows), share)
    near_zero = quantile(tail) <= quantile(0.5)[0]
    inside = np.where(
        near_zero, plain <= quantile(1 - 2 * tail), (quantile(tail) <= plain) & (plain <= quantile(1 - tail))
    )
    inside[np.abs(quantile(0.5) - plain).argmin()] = True  # the value that fits best, which the grid may step over
    return float(grid[inside][0]), min(1.0, float(grid[inside][-1]))


def _plug_in_quantiles(
    true: NDArray[np.floating], error: NDArray[np.floating], share: NDArray[np.floating]
) -> Callable[[float], NDArray[np.floating]]:
    """Quantiles of the plug-in ECE (a sum of folded normals) by its first three moments; true is [values, bins]."""
    first = _folded_normal_mean(true, error)
    second = true**2 + error**2
    density = error * math.sqrt(2 / math.pi) * np.exp(-((true / error) ** 2) / 2)
    third = (true**2 + 2 * error**2) * density + true * (true**2 + 3 * error**2) * erf(true / error / math.sqrt(2))
    mean, spread = first @ share, np.sqrt((second - first**2) @ share**2)
    skew = ((third - 3 * first * second + 2 * first**3) @ share**3) / spread**3

    def quantile(level: float) -> NDArray[np.floating]:
        z = float(ndtri(level))
        return np.asarray(mean + spread * (z + skew * (z * z - 1) / 6))

    return quantile


def _bin_gaps(
    weight: NDArray[np.floating], confidence: NDArray[np.floating], hits: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Share of rows (0 where empty), |accuracy - confidence| and its standard error of each bin, [bins, b]."""
    rows = np.where(weight > 0, weight, 1)
    said, rate = confidence / rows, hits / rows
    # two rows added at the bin's confidence: a bin without a miss still has an error
    smooth = np.clip((hits + 2 * said) / (rows + 2), 1e-6, 1 - 1e-6)
    return weight / weight.sum(axis=0), np.abs(rate - said), np.sqrt(smooth * (1 - smooth) / rows)


def _folded_normal_mean(mean: NDArray[np.floating], sd: NDArray[np.floating]) -> NDArray[np.floating]:
    scaled = mean / (sd * math.sqrt(2))
    return np.asarray(sd * math.sqrt(2 / math.pi) * np.exp(-(scaled**2)) + mean * erf(scaled))


@dataclass(frozen=True)
class Recalibration:
    """Logistic recalibration of a probability: logit P(event) = intercept + slope x logit(probability).

    A slope below 1 means overconfident. `in_the_large` is the intercept with the slope held at 1 (0 is ideal).
    Errors are robust (HC2: MacKinnon & White 1985), and clustered where clusters are given; `degrees` are those of
    Student's quantile: clusters less one, infinite without. HC3 with Student's covers 98 % of 30 rows for 95.
    """

    slope: float
    slope_se: float
    in_the_large: float
    in_the_large_se: float
    degrees: float

    def slope_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        half = self._quantile(confidence) * self.slope_se
        return self.slope - half, self.slope + half

    def large_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        half = self._quantile(confidence) * self.in_the_large_se
        return self.in_the_large - half, self.in_the_large + half

    def _quantile(self, confidence: float) -> float:
        return t_of(confidence, self.degrees)


UNDEFINED = Recalibration(math.nan, math.nan, math.nan, math.nan, math.nan)


def recalibrate(
    probability: NDArray[np.floating], event: NDArray[np.bool_], clusters: NDArray[np.int64] | None = None
) -> Recalibration:
    """Calibration slope and calibration-in-the-large (Cox 1958; Van Calster 2016); NaN where they do not exist."""
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    logit = np.log(clipped / (1 - clipped))
    y = event.astype(np.float64)
    if len(y) < 3 or y.min() == y.max():
        return UNDEFINED
    ones = np.ones_like(logit)
    large = _logistic(ones[:, None], logit, y, clusters)
    both = (
        _logistic(np.stack([ones, logit], axis=1), np.zeros_like(logit), y, clusters) if np.ptp(logit) > 1e-9 else None
    )
    slope, slope_se = (both[0][1], both[1][1]) if both else (math.nan, math.nan)
    level, level_se = (large[0][0], large[1][0]) if large else (math.nan, math.nan)
    degrees = math.inf if clusters is None else max(1.0, len(np.unique(clusters)) - 1.0)
    return Recalibration(float(slope), float(slope_se), float(level), float(level_se), degrees)


def _logistic(
    x: NDArray[np.floating], offset: NDArray[np.floating], y: NDArray[np.floating], clusters: NDArray[np.int64] | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]] | None:
    """Coefficients and robust errors by Newton's method; None where the likelihood has no maximum (separation)."""
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = expit(x @ beta + offset)
        hessian = x.T @ (x * (p * (1 - p))[:, None])
        if np.linalg.cond(hessian) > 1e12:
            return None
        step = np.linalg.solve(hessian, x.T @ (y - p))
        beta = beta + np.clip(step, -3, 3)
        if np.abs(step).max() < 1e-10:
            break
    else:
        return None
    p = expit(x @ beta + offset)
    bread = np.linalg.inv(x.T @ (x * (p * (1 - p))[:, None]))
    leverage = p * (1 - p) * np.einsum("ij,jk,ik->i", x, bread, x)
    scores = x * ((y - p) / np.sqrt(np.maximum(1 - leverage, 1e-6)))[:, None]
    if clusters is not None:
        _, codes = np.unique(clusters, return_inverse=True)
        summed = np.zeros((int(codes.max()) + 1, x.shape[1]))
        np.add.at(summed, codes, scores)
        scores = summed
    m = len(scores)
    covariance = bread @ (scores.T @ scores) @ bread * m / max(m - 1, 1)
    return beta, np.sqrt(np.maximum(np.diag(covariance), 0))
