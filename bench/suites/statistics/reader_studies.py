"""Simulated reader studies and rare groups: do the intervals of `evalsuite readers` and `rare-groups` hold?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from evalsuite.readers import ratings
from evalsuite.readers.analysis import analyse
from evalsuite.readers.choices import Fixed
from evalsuite.stats.prediction_powered import powered_share

#: Readers, cases, and the scale of their ratings in words and as its largest number.
STUDIES_OF_READERS = ((3, 60, "", None), (5, 100, "", None), (5, 100, ", ratings of 0 to 4", 4), (10, 200, "", None))
#: Labels, true share, how often a stand-in agrees with the truth, and what it is off by otherwise.
RARE_GROUPS = (
    *((20, 0.6, 0.95, 0.0), (20, 0.8, 0.8, -0.2), (20, 0.95, 0.8, 0.0), (20, 0.95, 0.5, 0.0)),
    *((40, 0.8, 0.95, 0.0), (40, 0.8, 0.5, 0.0)),
    *((100, 0.6, 0.95, 0.0), (100, 0.8, 0.8, -0.2), (100, 0.95, 0.8, 0.0)),
)

Judge = Callable[[np.random.Generator], dict[str, bool]]


def simulated_ratings(
    rng: np.random.Generator,
    readers: int,
    cases: int,
    gain: float = 0.0,
    *,
    separation: float = 1.5,
    steps: int | None = None,
) -> pd.DataFrame:
    """Ratings after Roe & Metz 1997: reader, case, and what they have in a modality; half the cases are positive.

    Parameters
    ----------
    gain
        What the second modality adds to the separation of positive from negative cases, in standard deviations.
    steps
        Largest rating of a scale from 0; None gives numbers without steps.
    """
    positive = np.arange(cases) % 2 == 1
    score = np.zeros((2, readers, cases)) + positive * (separation + np.array([0, gain])[:, None, None])
    score += rng.normal(0, 0.2, (1, readers, 1)) * positive + rng.normal(0, 0.2, (2, readers, 1)) * positive
    score += rng.normal(0, 0.55, (1, 1, cases)) + rng.normal(0, 0.4, (2, 1, cases))
    score += rng.normal(0, 0.4, (1, readers, cases)) + rng.normal(0, 0.6, (2, readers, cases))
    if steps is not None:
        score = np.clip(np.round(score * steps / 4), 0, steps)
    modality, reader, case = (axis.ravel() for axis in np.indices(score.shape))
    return pd.DataFrame(
        {
            "reader": [f"r{j}" for j in reader],
            "case": [f"c{k}" for k in case],
            "modality": np.array(["alone", "helped"])[modality],
            "truth": positive[case].astype(int),
            "rating": score.ravel(),
        }
    )


def reader_study(readers: int, cases: int, steps: int | None = None) -> Judge:
    """No modality is better, for readers and cases drawn anew: does the interval hold 0?"""

    def one(rng: np.random.Generator) -> dict[str, bool]:
        found = analyse(ratings.from_frame(simulated_ratings(rng, readers, cases, steps=steps))).whole
        difference = found.difference(Fixed.neither)
        assert difference is not None
        return {"covered: difference of readers' AUROC": difference.low <= 0 <= difference.high}

    return one


def rare_group(n: int, others: int, share: float, agree: float, bias: float) -> Judge:
    """A share from n labelled images and others without a label; stand-ins agree with the truth, or are biased."""

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.random(count) < share
        same = rng.random(count) < agree
        right = np.where(same, truth, rng.random(count) < share + bias)
        return truth, np.where(right, rng.binomial(4, 0.9, count), rng.binomial(4, 0.2, count)) / 4

    def one(rng: np.random.Generator) -> dict[str, bool]:
        truth, standin = draw(rng, n)
        made = powered_share(truth, standin, draw(rng, others)[1]).estimate
        return {"covered: share debiased by real labels": made.low <= share <= made.high}

    return one
