"""How many real images a synthetic one is worth, from the learning curve of real images. Pure functions.

Scores are accuracies (or other shares, higher is better); errors are 1 - score. Doses are synthetic images for each
real one; sizes are real images per class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EXPONENTS = np.geomspace(0.02, 5, 500)


@dataclass(frozen=True)
class Exchange:
    """What synthetic images are worth at one point.

    Attributes
    ----------
    effective
        Real images per class at which the real-only curve reaches the mixed score.
    rate
        Real images that one synthetic image stands for: (effective - n_real) / n_synthetic.
    outside
        "", or "above the fitted range" or "below the fitted range": then the numbers are NaN.
    """

    n_real: float
    n_synthetic: float
    effective: float
    low: float
    high: float
    rate: float
    rate_low: float
    rate_high: float
    outside: str = ""

    @property
    def conclusive(self) -> bool:
        """Whether the interval has an end within the sizes measured, and so excludes some number of real images."""
        return not self.outside and (math.isfinite(self.low) or math.isfinite(self.high))

    def text(self) -> str:
        if self.outside:
            return f"outside the fitted range ({self.outside})"
        if not self.conclusive:
            return "inconclusive: the interval holds every number of real images that was measured"
        return (
            f"{self.n_real:.0f} real images per class with {self.n_synthetic:.0f} synthetic ones do as well as "
            f"{self.effective:.0f} real ones alone (95% interval {_bound(self.low)} to {_bound(self.high)})"
        )

    def rate_text(self) -> tuple[str, str]:
        """The rate and its interval; empty where there is none."""
        if not self.conclusive:
            return "", ""
        return f"{self.rate:.3f}", f"{_bound(self.rate_low, 3)} to {_bound(self.rate_high, 3)}"


def _bound(value: float, digits: int = 0) -> str:
    if math.isinf(value):
        return "beyond the largest size measured" if value > 0 else "below the smallest size measured"
    return f"{round(value, digits) + 0.0:.{digits}f}"  # never -0


@dataclass(frozen=True)
class LearningCurve:
    """The score of real-only arms by their number of images.

    Attributes
    ----------
    sizes, scores
        Real images per class and the score of each arm, [m], m >= 3.
    samples
        Bootstrap samples of the scores, [m, b].
    """

    sizes: Array
    scores: Array
    samples: Array


def exchange(
    curve: LearningCurve, n_real: float, n_synthetic: float, mixed: float, samples: Array, confidence: float = 0.95
) -> Exchange:
    """Invert the real-only learning curve at the score of a mixed arm.

    Parameters
    ----------
    mixed, samples
        The score of the mixed arm, and its bootstrap from the same resamples, [b].

    The curve is refitted in every resample, so the interval includes the curve's error. Samples beyond the measured
    sizes count as infinite; an interval that reaches there says so.
    """
    value = float(_invert(_curves(curve.sizes, curve.scores[:, None]), np.array([mixed]), curve.sizes)[0])
    inverted = _invert(_curves(curve.sizes, curve.samples), samples, curve.sizes)
    tail = (1 - confidence) / 2
    low, high = (float(np.quantile(inverted, q, method="nearest")) for q in (tail, 1 - tail))
    if not math.isfinite(value):
        outside, nan = f"{'above' if value > 0 else 'below'} the fitted range", math.nan
        return Exchange(n_real, n_synthetic, nan, low, high, nan, nan, nan, outside)
    rate, rate_low, rate_high = ((v - n_real) / n_synthetic for v in (value, low, high))
    return Exchange(n_real, n_synthetic, value, low, high, rate, rate_low, rate_high)


def _curves(sizes: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Floor, scale and exponent of the real-only power law of each column of scores, [m, b] -> 3 x [b].

    For a given exponent the law is linear, so the exponents are searched on a grid and the rest is solved: thousands
    of resamples take milliseconds, without local minima.
    """
    error = 1 - np.asarray(scores, float)
    best = np.full(error.shape[1], np.inf)
    floor, scale, slope = np.zeros_like(best), np.zeros_like(best), np.ones_like(best)
    for exponent in _EXPONENTS:
        x = sizes**-exponent
        centred = x - x.mean()
        a = centred @ error / (centred @ centred)
        e = error.mean(axis=0) - a * x.mean()
        below = e < 0  # an error below 0: the floor is 0
        e, a = np.where(below, 0.0, e), np.where(below, x @ error / (x @ x), a)
        loss = ((error - e - np.outer(x, a)) ** 2).sum(axis=0)
        better = (loss < best) & (a > 0)
        best = np.where(better, loss, best)
        floor, scale, slope = (np.where(better, new, old) for new, old in ((e, floor), (a, scale), (exponent, slope)))
    return floor, scale, slope


def _invert(curves: tuple[Array, Array, Array], scores: Array, sizes: Array) -> Array:
    """Size at which each curve has a score, [b]; +-inf outside the sizes it was fitted to."""
    floor, scale, slope = curves
    rest = 1 - np.asarray(scores, float) - floor
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        size = np.where(rest > 0, (scale / np.maximum(rest, 1e-12)) ** (1 / slope), np.inf)
    size = np.where(size > sizes.max() * 1.0001, np.inf, size)
    return np.where(size < sizes.min() * 0.9999, -np.inf, size)
