"""Beta-binomial shrinkage (empirical Bayes): the rates of small cells move towards those of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit, logit
from scipy.stats import beta


@dataclass(frozen=True)
class Shrunk:
    """Posterior of each cell's rate, [cells]: mean and credible bounds; `strength` counts the prior's rows."""

    value: NDArray[np.floating]
    low: NDArray[np.floating]
    high: NDArray[np.floating]
    prior_mean: float
    strength: float


def beta_binomial(successes: NDArray[np.floating], totals: NDArray[np.floating], confidence: float = 0.95) -> Shrunk:
    """Fit Beta(m s, (1 - m) s) over the cells by marginal likelihood; give each cell's posterior.

    Cells without rows get the prior. A weak half-Cauchy prior on s^-1/2 keeps s finite where the cells agree.
    """
    used = totals > 0
    k, n = successes[used], totals[used]
    pooled = (k.sum() + 0.5) / (n.sum() + 1)

    def loss(x: NDArray[np.floating]) -> float:
        mean, strength = expit(x[0]), np.exp(x[1])
        a, b = mean * strength, (1 - mean) * strength
        spread = strength**-0.5
        return float(-(betaln(k + a, n - k + b) - betaln(a, b)).sum() + np.log1p((spread / 0.3) ** 2) + x[1] / 2)

    fit = minimize(
        loss,
        np.array([logit(pooled), np.log(20.0)]),
        method="L-BFGS-B",
        bounds=[(logit(1e-4), logit(1 - 1e-4)), (np.log(0.5), np.log(1e4))],
    )
    mean, strength = float(expit(fit.x[0])), float(np.exp(fit.x[1]))
    a, b = mean * strength + successes, (1 - mean) * strength + totals - successes
    tail = (1 - confidence) / 2
    return Shrunk(a / (a + b), beta.ppf(tail, a, b), beta.ppf(1 - tail, a, b), mean, strength)
