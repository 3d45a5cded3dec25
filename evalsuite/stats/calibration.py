"""Calibration: equal-mass bins, ECE with its bias removed, slope and intercept."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit

from evalsuite.stats.intervals import z_of


def equal_mass_bins(confidence: NDArray[np.float64], most: int = 15, least_rows: int = 20) -> NDArray[np.int64]:
    """Bin of each row, int [n]: equal counts, ties kept together, at most `most` bins of about `least_rows` rows."""
    count = int(np.clip(len(confidence) // least_rows, 1, most))
    edges = np.unique(np.quantile(confidence, np.arange(1, count) / count)) if count > 1 else np.array([])
    _, bins = np.unique(np.searchsorted(edges, confidence, side="right"), return_inverse=True)
    return bins.astype(np.int64)


def ece(
    weight: NDArray[np.float64], confidence: NDArray[np.float64], hits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expected calibration error: (plug-in, with its bias removed), each [b].

    Parameters
    ----------
    weight, confidence, hits
        Sums over each bin, [bins, b]: of the weights, of weight x confidence, of weight x correct.

    The plug-in is too large: |gap| of a perfectly calibrated bin of 20 rows averages 0.09. What normal errors
    would add is taken off (Kumar, Liang & Ma 2019), not below 0.
    """
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = hits / weight
        gap = np.abs(rate - confidence / weight)
        error = np.sqrt(np.maximum(rate * (1 - rate), 0) / np.maximum(weight - 1, 1))
        folded = np.where(error > 0, _folded_normal_mean(gap, np.where(error > 0, error, 1.0)), gap)
        share = weight / total
        plain = np.nansum(share * gap, axis=0)
        corrected = np.maximum(0.0, plain - np.nansum(share * (folded - gap), axis=0))
    return np.where(total > 0, plain, np.nan), np.where(total > 0, corrected, np.nan)


def _folded_normal_mean(mean: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled = mean / (sd * math.sqrt(2))
    return sd * math.sqrt(2 / math.pi) * np.exp(-scaled**2) + mean * erf(scaled)


@dataclass(frozen=True)
class Recalibration:
    """Logistic recalibration of a probability: logit P(event) = intercept + slope x logit(probability).

    A slope below 1 means overconfident. `in_the_large` is the intercept with the slope held at 1 (0 is ideal).
    Errors are robust, and clustered where clusters are given.
    """

    slope: float
    slope_se: float
    in_the_large: float
    in_the_large_se: float

    def slope_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        half = z_of(confidence) * self.slope_se
        return self.slope - half, self.slope + half

    def large_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        half = z_of(confidence) * self.in_the_large_se
        return self.in_the_large - half, self.in_the_large + half


UNDEFINED = Recalibration(math.nan, math.nan, math.nan, math.nan)


def recalibrate(
    probability: NDArray[np.float64], event: NDArray[np.bool_], clusters: NDArray[np.int64] | None = None
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
        _logistic(np.stack([ones, logit], axis=1), np.zeros_like(logit), y, clusters)
        if np.ptp(logit) > 1e-9 else None
    )
    slope, slope_se = (both[0][1], both[1][1]) if both else (math.nan, math.nan)
    level, level_se = (large[0][0], large[1][0]) if large else (math.nan, math.nan)
    return Recalibration(float(slope), float(slope_se), float(level), float(level_se))


def _logistic(
    x: NDArray[np.float64], offset: NDArray[np.float64], y: NDArray[np.float64],
    clusters: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
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
    scores = x * (y - p)[:, None]
    if clusters is not None:
        _, codes = np.unique(clusters, return_inverse=True)
        summed = np.zeros((int(codes.max()) + 1, x.shape[1]))
        np.add.at(summed, codes, scores)
        scores = summed
    m = len(scores)
    bread = np.linalg.inv(x.T @ (x * (p * (1 - p))[:, None]))
    covariance = bread @ (scores.T @ scores) @ bread * m / max(m - 1, 1)
    return beta, np.sqrt(np.maximum(np.diag(covariance), 0))
