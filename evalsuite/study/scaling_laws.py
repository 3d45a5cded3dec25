"""Laws of the error in real and synthetic images, fitted and compared. Scores are shares, errors are 1 - score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]

CHOSEN_BY = "AICc"


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
    return np.asarray(_unit(p[0]) + _positive(p[1]) * n ** -_positive(p[2]) - p[3] * dose / (dose + _positive(p[4])))


LAWS: tuple[Law, ...] = (
    Law(
        "no effect",
        "E + A n^-b",
        _power,
        ((-2, 0, -0.7), (-4, -0.5, -1.5)),
        "real images only: the learning curve of Hestness 2017",
    ),
    Law(
        "exchange",
        "E + A (n + k s^g)^-b",
        _exchange,
        ((-2, 0, -0.7, -2, 0), (-4, -0.5, -1.5, -4, 2)),
        "power law with floor in effective real images (after Hernandez 2021)",
    ),
    Law(
        "mikami",
        "d (c + (1 + s)^-a) n^-b",
        _mikami,
        ((0, 0, -1, -1), (-0.5, 1, 0, -1.5)),
        "Mikami 2021 (arXiv 2108.11018), s + 1 for a dose of zero",
    ),
    Law(
        "saturating",
        "E + A n^-b - G r / (r + h)",
        _saturating,
        ((-2, 0, -0.7, 0.05, 0), (-4, -0.5, -1.5, 0.05, 1.5)),
        "Michaelis-Menten gain in the ratio r = s / n",
    ),
)


def fit(law: Law, n_real: Array, n_synthetic: Array, score: Array, weight: Array | None = None) -> Fit:
    """The best least-squares fit over the starting points.

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
        least_squares(residuals, np.array(x, float), method="trf", max_nfev=400, bounds=(-15, 15)) for x in law.start
    ]
    return np.asarray(min(found, key=lambda f: f.cost).x)


def _held_out(law: Law, n: Array, s: Array, error: Array, w: Array) -> float:
    """Absolute error at the largest dose, of the law fitted to the smaller ones."""
    ratio = s / n
    last = ratio >= ratio.max() - 1e-9 if ratio.max() > 0 else n >= n.max()
    if (~last).sum() <= len(law.start[0]) + 1:
        return math.nan
    p = _solve(law, n[~last], s[~last], error[~last], w[~last])
    return float(np.abs(law.predict(p, n[last], s[last]) - error[last]).mean())


def is_chosen(fits: list[Fit]) -> bool:
    """Whether the first of compared laws is the choice: there must be points enough to tell all of them apart."""
    return all(math.isfinite(f.aicc) for f in fits)


def compare_laws(n_real: Array, n_synthetic: Array, score: Array, weight: Array | None = None) -> list[Fit]:
    """All laws, the chosen one first: by AICc, or by held-out error where there are too few points for it."""
    fits = [fit(law, n_real, n_synthetic, score, weight) for law in LAWS]
    return sorted(fits, key=lambda f: (f.aicc, f.held_out if math.isfinite(f.held_out) else math.inf, f.rmse))
