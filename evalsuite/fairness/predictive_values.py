"""What a call means at a stated prevalence: positive and negative predictive value by Bayes, with intervals.

A test set holds as many cancers as somebody put into it, so that its own precision says little about a clinic.
Sensitivity and specificity are taken from the test set, the prevalence is stated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evalsuite.stats.estimate import Estimate
from evalsuite.stats.intervals import Bounds, of_the_rest


@dataclass(frozen=True)
class PredictiveValues:
    """Of the rows of a group: the share of true calls among the positive (ppv) and among the negative ones (npv)."""

    ppv: Estimate
    npv: Estimate


def predictive_values(
    sensitivity: Estimate, specificity: Estimate, prevalence: float, confidence: float = 0.95
) -> PredictiveValues:
    """Bayes' rule at a prevalence above 0 and below 1: the odds of a true call.

    The interval of the ratio follows from those of both shares (MOVER-R: Donner & Zou 2012).
    """
    odds = prevalence / (1 - prevalence)
    false, missed = _rest(specificity), _rest(sensitivity)
    return PredictiveValues(
        _value(sensitivity, false, odds, confidence), _value(specificity, missed, 1 / odds, confidence)
    )


def _value(right: Estimate, wrong: Estimate, odds: float, confidence: float) -> Estimate:
    """Share of right calls among all: odds x right / wrong, as a share."""
    value = _share(odds * right.value, wrong.value)

    def between(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
        low, high = ratio(right.value, first, wrong.value, second)
        return min(_share(odds * low, 1.0), value), max(_share(odds * high, 1.0), value)

    def bounds(level: float) -> tuple[float, float]:
        return between(_bounds(right)(level), _bounds(wrong)(level))

    low, high = between((right.low, right.high), (wrong.low, wrong.high))
    enough = right.enough and wrong.enough and math.isfinite(value) and math.isfinite(low)
    n, needed = min(right.n, wrong.n), max(right.n_needed, wrong.n_needed)
    return Estimate(value, low, high, n, enough, needed, "mover", bounds=bounds)


def ratio(a: float, of_a: tuple[float, float], b: float, of_b: tuple[float, float]) -> tuple[float, float]:
    """Interval of a / b, two independent shares with these intervals; the upper end is infinite where b may be 0."""
    (low_a, high_a), (low_b, high_b) = of_a, of_b
    if not all(map(math.isfinite, (a, b, low_a, low_b))):
        return math.nan, math.nan
    product = a * b
    # the root of the lower end is written so that it does not divide by 2 b - high_b, which may be 0
    least = product + math.sqrt(max(product**2 - low_a * high_b * (2 * a - low_a) * (2 * b - high_b), 0.0))
    most = product + math.sqrt(max(product**2 - high_a * low_b * (2 * a - high_a) * (2 * b - low_b), 0.0))
    low = low_a * (2 * a - low_a) / least if least > 0 else 0.0
    high = most / (low_b * (2 * b - low_b)) if low_b * (2 * b - low_b) > 0 else math.inf
    return low, high


def _share(odds: float, against: float) -> float:
    """odds / (odds + against); NaN where both are 0."""
    if math.isinf(odds):
        return 1.0
    return odds / (odds + against) if odds + against > 0 else math.nan


def _rest(found: Estimate) -> Estimate:
    """The share of what is not a hit."""
    low, high, bounds = 1 - found.high, 1 - found.low, of_the_rest(_bounds(found))
    return Estimate(1 - found.value, low, high, found.n, found.enough, found.n_needed, found.method, bounds=bounds)


def _bounds(found: Estimate) -> Bounds:
    return found.bounds or (lambda confidence: (found.low, found.high))
