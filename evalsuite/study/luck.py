"""How much of a score is luck: of the generator's seed, and of the classifier's seed with its real images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Luck:
    """Standard deviations of the score between trainings; NaN where there are too few.

    Attributes
    ----------
    classifiers
        Between classifier's seeds, each with its own draw of real images, of what generators do not explain.
    generators
        Between generators that were tuned on the same real images, the classifier's seed being the same.
    """

    classifiers: float
    generators: float


def luck(scores: NDArray[np.float64]) -> Luck:
    """Components of variance of generators nested in seeds, by moments (one-way random effects), 0 at least.

    Parameters
    ----------
    scores
        [seeds, generators].
    """
    seeds, generators = scores.shape
    within = float(scores.var(axis=1, ddof=1).mean()) if generators > 1 else math.nan
    between = float(scores.mean(axis=1).var(ddof=1)) if seeds > 1 else math.nan
    alone = math.sqrt(max(0.0, between - within / generators)) if math.isfinite(between - within) else math.nan
    return Luck(alone, math.sqrt(within))
