"""Dose studies drawn at random: arms with known accuracies on the same test images."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from evalsuite.stats import resampling
from evalsuite.study import dose
from evalsuite.study.analysis import saturation_of
from evalsuite.study.paired_scores import Resamples

RATIOS = (0, 1, 2, 5, 10, 20, 50)
#: Doublings of the dose up to each ratio.
X = np.cumsum([0.0, *(dose.doublings(*pair) for pair in itertools.pairwise(RATIOS))])
#: Two runs disagree on 12 % of the images, and differ by a point.
ITEM_NOISE, SEED_SD = 0.4, 0.01
MARGIN = 0.02
#: Accuracies that rise up to 10:1 and not beyond, and by three points a doubling without an end.
UP_TO_TEN = 0.6 + 0.2 * np.minimum(np.log2(1 + np.array(RATIOS)) / np.log2(11), 1)
RISING = 0.6 + 0.03 * X


def saturation(rng: np.random.Generator, truth: NDArray[np.floating], n: int, seeds: int) -> dose.Saturation:
    """What a study finds whose arms have these true accuracies, on n test images."""
    labels = np.arange(n) % 3
    items = resampling.bootstrap_weights(rng, resampling.units(labels, None), 200)
    of_seeds = resampling.bootstrap_weights(rng, resampling.units(np.zeros(seeds, dtype=np.int64), None), 200)
    weights = np.asarray(items, np.float64), np.asarray(of_seeds, np.float64)
    resamples = Resamples(*weights, labels, 3, np.arange(n))
    ease, scores = rng.normal(size=n), []
    for accuracy in truth:
        limits = norm.ppf(accuracy + rng.normal(0, SEED_SD, seeds)) * np.hypot(1, ITEM_NOISE)
        right = [ease + rng.normal(0, ITEM_NOISE, n) < limit for limit in limits]
        scores.append(resamples.score(right, np.ones(n, dtype=bool), "accuracy"))
    return saturation_of(RATIOS, scores, MARGIN)
