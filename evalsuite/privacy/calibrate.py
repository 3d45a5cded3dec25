"""How near is too near: the threshold comes from unseen real images, which cannot be copies of the training set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

from evalsuite.quality.estimate import Estimate, missing, wilson
from shards.errors import UserError

MIN_UNSEEN = 20
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Calibration:
    """A threshold on the joint score, and the false alarms to expect at it.

    Attributes
    ----------
    centre, spread
        Of each space among unseen images.
    false_alarms
        Share of unseen real images that would be called copies, guaranteed on average over draws of the unseen set
        (Vovk 2005).
    worst
        The share that this one unseen set keeps to with a confidence of 95 % (Vovk 2012).
    n
        Unseen images.
    """

    centre: dict[str, float]
    spread: dict[str, float]
    threshold: float
    false_alarms: float
    worst: float
    n: int
    source: str

    def score(self, found: pd.DataFrame) -> NDArray[np.float64]:
        """Nearness in the nearest of the spaces, in spreads above the middle of unseen images, [n]."""
        spaces = [(found[s].to_numpy(dtype=float) - self.centre[s]) / self.spread[s] for s in self.centre]
        return np.max(spaces, axis=0)

    def sentence(self) -> str:
        """What the threshold promises, for reports."""
        return (
            f"Calibrated by {self.n} {self.source}: at most {self.false_alarms:.1%} of unseen real images are expected "
            f"to be called copies, and with this calibration, at 95 % confidence, at most {self.worst:.1%}."
        )


def calibrate(unseen: pd.DataFrame, spaces: tuple[str, ...], false_alarms: float, source: str) -> Calibration:
    """Set the threshold for a rate of false alarms.

    It is the conformal order statistic of the unseen images' scores or, where that is lower, an exponential tail
    fitted to their upper tenth. With fewer than 1 / false_alarms - 1 unseen images the rate that can be promised
    is 1 / (n + 1), and that is what is stated.
    """
    n = len(unseen)
    if n < MIN_UNSEEN:
        raise UserError(f"{n} unseen real images to calibrate by; expected at least {MIN_UNSEEN} (--test)")
    middle = {s: float(unseen[s].median()) for s in spaces}
    spread = {s: max(float(unseen[s].quantile(0.95)) - middle[s], 1e-3) for s in spaces}
    draft = Calibration(middle, spread, np.inf, false_alarms, 1.0, n, source)
    ordered = np.sort(draft.score(unseen))
    rank = min(int(np.ceil((1 - false_alarms) * (n + 1))), n)
    start = float(np.quantile(ordered, 0.9))
    excess = ordered[ordered > start] - start
    tail = start + (float(excess.mean()) if len(excess) else 0.0) * np.log(0.1 / min(false_alarms, 0.1))
    threshold = max(float(ordered[rank - 1]), tail)
    worst = float(beta.ppf(CONFIDENCE, n + 1 - rank, rank))  # of the share above the order statistic of that rank
    return Calibration(middle, spread, threshold, max(false_alarms, 1 / (n + 1)), worst, n, source)


def measured_alarms(
    unseen: pd.DataFrame, spaces: tuple[str, ...], false_alarms: float, *, folds: int = 5, seed: int = 0
) -> Estimate:
    """Share of unseen real images called copies by a threshold that the other folds set: the negative control."""
    if len(unseen) * (folds - 1) // folds < MIN_UNSEEN:
        return missing(len(unseen), "too few unseen images to leave some out")
    fold = np.random.default_rng(seed).permutation(len(unseen)) % folds
    alarms = 0
    for k in range(folds):
        fitted = calibrate(unseen[fold != k], spaces, false_alarms, "")
        alarms += int((fitted.score(unseen[fold == k]) > fitted.threshold).sum())
    return wilson(alarms, len(unseen))
