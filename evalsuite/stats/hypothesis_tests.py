"""Holm's correction for many tests, and the difference that a test can find."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm


def holm(p: NDArray[np.floating]) -> NDArray[np.floating]:
    """Holm's step-down adjusted p values (controls any false claim in the family); NaN stays NaN."""
    out = np.full(len(p), math.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    steps = len(order) - np.arange(len(order))
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * steps))
    return out


def minimum_detectable(error: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The true difference that a two-sided test finds with this power, from the standard error of the difference."""
    return float(norm.ppf(1 - alpha / 2) + norm.ppf(power)) * error
