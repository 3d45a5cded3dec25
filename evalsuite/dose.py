"""Dose and response: learning curves, saturation, and how many real images a synthetic one is worth. Pure functions.

Scores are accuracies (or other shares, higher is better); errors are 1 - score. Doses are synthetic images for each
real one; sizes are real images per class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]

CHOSEN_BY = "AICc"
_EXPONENTS = np.geomspace(0.02, 5, 500)


@dataclass(frozen=True)
class Law:
    """A form of the error as a function of real and synthetic images per class.

    Attributes
    ----------
    predict
        (parameters, n_real, n_synthetic) -> error; parameters are unconstrained numbers.
    start
        Starting points.
    source
        Where the form comes from.
    """

    name: str
    formula: str
    predict: Callable[[Array, Array, Array], Array]
    start: tuple[tuple[float, ...], ...]
    source: str


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes
    ----------
    aicc
        Corrected Akaike criterion under normal errors; lower is better, inf where there are too few points.
    rmse
        Over the points it was fitted to.
    held_out
        Absolute error at the largest dose when fitted without it; NaN where there are too few points.
    """

    law: Law
    parameters: Array
    aicc: float
    rmse: float
    held_out: float

    def score(self, n_real: Array, n_synthetic: Array) -> Array:
        return 1 - self.law.predict(self.parameters, np.asarray(n_real, float), np.asarray(n_synthetic, float))


def _unit(x: float) -> float:
    """Unconstrained to (0, 1)."""
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, x))))


def _positive(x: float) -> float:
    return math.exp(max(-20.0, min(20.0, x)))


def _power(p: Array, n: Array, s: Array) -> Array:
    return _unit(p[0]) + _positive(p[1]) * n ** -_positive(p[2])


def _exchange(p: Array, n: Array, s: Array) -> Array:
    return _unit(p[0]) + _positive(p[1]) * (n + _positive(p[3]) * s ** _unit(p[4])) ** -_positive(p[2])


def _mikami(p: Array, n: Array, s: Array) -> Array:
    return _positive(p[0]) * (_positive(p[1]) + (1 + s) ** -_positive(p[2])) * n ** -_positive(p[3])


def _saturating(p: Array, n: Array, s: Array) -> Array:
    dose = s / n
    return _unit(p[0]) + _positive(p[1]) * n ** -_positive(p[2]) - p[3] * dose / (dose + _positive(p[4]))


LAWS: tuple[Law, ...] = (
    Law("no effect", "E + A n^-b", _power, ((-2, 0, -0.7), (-4, -0.5, -1.5)),
        "real images only: the learning curve of Hestness 2017"),
    Law("exchange", "E + A (n + k s^g)^-b", _exchange, ((-2, 0, -0.7, -2, 0), (-4, -0.5, -1.5, -4, 2)),
        "power law with floor in effective real images (after Hernandez 2021)"),
    Law("mikami", "d (c + (1 + s)^-a) n^-b", _mikami, ((0, 0, -1, -1), (-0.5, 1, 0, -1.5)),
        "Mikami 2021 (arXiv 2108.11018), s + 1 for a dose of zero"),
    Law("saturating", "E + A n^-b - G r / (r + h)", _saturating, ((-2, 0, -0.7, 0.05, 0), (-4, -0.5, -1.5, 0.05, 1.5)),
        "Michaelis-Menten gain in the ratio r = s / n"),
)


def fit(law: Law, n_real: Array, n_synthetic: Array, score: Array, weight: Array | None = None) -> Fit:
    """Least squares from each starting point; the best of them.

    Parameters
    ----------
    weight
        Inverse variances of the scores; None: equal.
    """
    n, s = np.asarray(n_real, float), np.asarray(n_synthetic, float)
    error = 1 - np.asarray(score, float)
    w = np.ones_like(error) if weight is None else np.asarray(weight, float) / np.mean(weight)
    best = _solve(law, n, s, error, w)
    residual = np.sqrt(w) * (law.predict(best, n, s) - error)
    points, k = len(error), len(best) + 1
    rss = max(float(residual @ residual), 1e-12)
    aicc = points * math.log(rss / points) + 2 * k + 2 * k * (k + 1) / (points - k - 1) if points > k + 1 else math.inf
    return Fit(law, best, aicc, math.sqrt(rss / points), _held_out(law, n, s, error, w))


def _solve(law: Law, n: Array, s: Array, error: Array, w: Array) -> Array:
    def residuals(p: Array) -> Array:
        return np.sqrt(w) * (law.predict(p, n, s) - error)

    found = [
        least_squares(residuals, np.array(x, float), method="trf", max_nfev=400, bounds=(-15, 15))
        for x in law.start
    ]
    return min(found, key=lambda f: f.cost).x


def _held_out(law: Law, n: Array, s: Array, error: Array, w: Array) -> float:
    """Absolute error at the largest dose, of the law fitted to the smaller ones."""
    ratio = s / n
    last = ratio >= ratio.max() - 1e-9 if ratio.max() > 0 else n >= n.max()
    if (~last).sum() <= len(law.start[0]) + 1:
        return math.nan
    p = _solve(law, n[~last], s[~last], error[~last], w[~last])
    return float(np.abs(law.predict(p, n[last], s[last]) - error[last]).mean())


def compare_laws(n_real: Array, n_synthetic: Array, score: Array, weight: Array | None = None) -> list[Fit]:
    """All laws, the chosen one first: least AICc, held-out error where too few points leave it undefined."""
    fits = [fit(law, n_real, n_synthetic, score, weight) for law in LAWS]
    return sorted(fits, key=lambda f: (f.aicc, f.held_out if math.isfinite(f.held_out) else math.inf, f.rmse))


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
        "" or the words "above the fitted range" / "below the fitted range": then the numbers are NaN.
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

    def text(self) -> str:
        if self.outside:
            return f"outside the fitted range ({self.outside})"
        return (f"{self.n_synthetic:.0f} synthetic images per class on top of {self.n_real:.0f} real ones are worth "
                f"{self.effective - self.n_real:.0f} real ones ({_bound(self.low - self.n_real)} to "
                f"{_bound(self.high - self.n_real)})")


def _bound(value: float) -> str:
    if math.isinf(value):
        return "beyond the largest size measured" if value > 0 else "below the smallest size measured"
    return f"{value:.0f}"


def exchange(
    sizes: Array, real_scores: Array, real_samples: Array, n_real: float, n_synthetic: float, mixed: float,
    mixed_samples: Array, confidence: float = 0.95,
) -> Exchange:
    """Invert the real-only learning curve at the score of a mixed arm.

    Parameters
    ----------
    sizes, real_scores
        Real images per class and the score of each real-only arm, [m], m >= 3.
    real_samples, mixed_samples
        Bootstrap samples of the same scores from the same resamples, [m, b] and [b].

    The curve is refitted in every resample, so the interval holds the curve's error too. Samples beyond the
    measured sizes count as infinite; an interval that reaches there says so.
    """
    sizes = np.asarray(sizes, float)
    value = float(_invert(_curves(sizes, np.asarray(real_scores, float)[:, None]), np.array([mixed]), sizes)[0])
    samples = _invert(_curves(sizes, real_samples), mixed_samples, sizes)
    tail = (1 - confidence) / 2
    low, high = (float(np.quantile(samples, q, method="nearest")) for q in (tail, 1 - tail))
    outside = "" if math.isfinite(value) else f"{'above' if value > 0 else 'below'} the fitted range"
    if outside:
        nan = math.nan
        return Exchange(n_real, n_synthetic, nan, low, high, nan, nan, nan, outside)
    rate, rate_low, rate_high = ((v - n_real) / n_synthetic for v in (value, low, high))
    return Exchange(n_real, n_synthetic, value, low, high, rate, rate_low, rate_high)


def _curves(sizes: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Floor, scale and exponent of the real-only power law of each column of scores, [m, b] -> 3 x [b].

    For a given exponent the law is linear, so the exponents are searched on a grid and the rest is solved: thousands
    of resamples take milliseconds, and none stops in a local minimum.
    """
    error = 1 - np.asarray(scores, float)
    best = np.full(error.shape[1], np.inf)
    floor, scale, slope = np.zeros_like(best), np.zeros_like(best), np.ones_like(best)
    for exponent in _EXPONENTS:
        x = sizes**-exponent
        centred = x - x.mean()
        a = centred @ error / (centred @ centred)
        e = error.mean(axis=0) - a * x.mean()
        below = e < 0  # an error below none: the floor is 0
        e, a = np.where(below, 0.0, e), np.where(below, x @ error / (x @ x), a)
        loss = ((error - e - np.outer(x, a)) ** 2).sum(axis=0)
        better = (loss < best) & (a > 0)
        best = np.where(better, loss, best)
        floor, scale, slope = (np.where(better, new, old) for new, old in
                               ((e, floor), (a, scale), (exponent, slope)))
    return floor, scale, slope


def _invert(curves: tuple[Array, Array, Array], scores: Array, sizes: Array) -> Array:
    """Size at which each curve has a score, [b]; +-inf outside the sizes it was fitted to."""
    floor, scale, slope = curves
    rest = 1 - np.asarray(scores, float) - floor
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        size = np.where(rest > 0, (scale / np.maximum(rest, 1e-12)) ** (1 / slope), np.inf)
    size = np.where(size > sizes.max() * 1.0001, np.inf, size)
    return np.where(size < sizes.min() * 0.9999, -np.inf, size)


@dataclass(frozen=True)
class Step:
    """The gain from one dose to the next, for each doubling of the dose; the first step starts from none."""

    start: float
    end: float
    gain: float
    low: float
    high: float

    @property
    def is_flat(self) -> bool:
        """Whether the interval of the gain includes 0, or lies below it."""
        return self.low <= 0


@dataclass(frozen=True)
class Saturation:
    """Smallest dose beyond which a doubling shows no gain; NaN: gains go on to the largest dose measured."""

    ratio: float
    steps: tuple[Step, ...]

    def text(self) -> str:
        if math.isnan(self.ratio):
            return f"not reached: the gain goes on to the largest dose measured, {self.steps[-1].end:g}:1"
        if self.ratio == 0:
            return f"no gain: even the first dose, {self.steps[0].end:g}:1, cannot be told from none"
        step = next(s for s in self.steps if s.start == self.ratio)
        return (f"{self.ratio:g}:1; from there to {step.end:g}:1 a doubling adds {100 * step.gain:+.1f} points "
                f"({100 * step.low:+.1f} to {100 * step.high:+.1f})")


def saturation(ratios: Sequence[float], scores: Array, samples: Array, confidence: float = 0.95) -> Saturation:
    """The saturation ratio: the smallest dose where the interval of the gain per doubling includes 0.

    Parameters
    ----------
    ratios
        Ascending, beginning with 0.
    scores, samples
        Score of each dose, [m], and its bootstrap samples, [m, b], from the same resamples.
    """
    tail = (1 - confidence) / 2
    steps = []
    for i in range(1, len(ratios)):
        doublings = math.log2(ratios[i] / ratios[i - 1]) if ratios[i - 1] > 0 else 1.0
        gain = (samples[i] - samples[i - 1]) / doublings
        low, high = np.quantile(gain, [tail, 1 - tail])
        steps.append(Step(ratios[i - 1], ratios[i], float(scores[i] - scores[i - 1]) / doublings, float(low),
                          float(high)))
    flat = next((s for s in steps if s.is_flat), None)
    return Saturation(flat.start if flat else math.nan, tuple(steps))


def verdict(gain: float, low: float, high: float, margin: float, enough: bool = True) -> str:
    """What a gain in score means, in one of six words: helps, hurts, no difference, and so on.

    Parameters
    ----------
    margin
        Differences up to this are of no consequence; named before the study.
    """
    if not enough or not math.isfinite(gain):
        return "not enough data"
    if low > 0:
        return "helps"
    if high < 0:
        return "hurts"
    if low > -margin and high < margin:
        return "no difference"
    return "may hurt, cannot be told" if low <= -margin and gain < 0 else "cannot be told"
