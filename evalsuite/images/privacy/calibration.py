"""How near is too near: unseen real images, which cannot be copies of the training set, set the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

from dermforge.common.errors import UserError
from dermforge.common.least_numbers import AUDIT_PATIENTS as MIN_UNSEEN
from evalsuite.stats.estimate import Estimate, missing, share
from evalsuite.stats.resampling import Family, codes_of

CONFIDENCE = 0.95
MOST_FOLDS = 50  # folds by which unseen images are left out of the scale that scores them


@dataclass(frozen=True)
class Calibration:
    """A threshold on the joint score, and the false alarms to expect at it."""

    centre: dict[str, float]  # median nearness of unseen images in each space
    spread: dict[str, float]  # 95 % quantile less median
    threshold: float  # an image with a larger joint score is called a copy
    false_alarms: float  # largest expected share of unseen images called copies, over draws of them (Vovk 2005)
    worst: float  # largest share at this threshold, at 95 % confidence (Vovk 2012)
    n: int  # unseen images
    families: int  # their patients or families of duplicates
    source: str  # what they are, in words

    def score(self, found: pd.DataFrame) -> NDArray[np.float64]:
        """Nearness in the nearest of the spaces, in spreads above the median of unseen images, [n]."""
        spaces = [(found[s].to_numpy(dtype=float) - self.centre[s]) / self.spread[s] for s in self.centre]
        return np.asarray(np.max(spaces, axis=0))

    def sentence(self) -> str:
        """What the threshold promises, in words."""
        of = f" of {self.families} patients" if self.families < self.n else ""
        return (
            f"Calibrated by {self.n} {self.source}{of}: "
            f"at most {self.false_alarms:.1%} of unseen real images are expected to be called copies, "
            f"and with this calibration, at 95 % confidence, at most {self.worst:.1%}."
        )


def refuse_too_few(images: int, patients: int) -> None:
    """Refuse unseen real images that cannot calibrate the audit; UserError with fewer than `MIN_UNSEEN` patients."""
    if patients < MIN_UNSEEN:
        of = f" of {patients} patients" if patients < images else ""
        raise UserError(
            f"{images} unseen real images{of} to calibrate the audit; expected at least {MIN_UNSEEN} of different "
            "patients"
        )


def calibrate(
    unseen: pd.DataFrame, spaces: tuple[str, ...], false_alarms: float, source: str, family: Family = None
) -> Calibration:
    """Set the threshold for a rate of false alarms.

    The threshold is the larger of the conformal order statistic of the unseen images' scores and an exponential tail
    fitted to their upper tenth. With fewer than 1 / false_alarms - 1 unseen images the best promise is 1 / (n + 1), and
    that is what the result states. Each image is scored by the scale of the others, as a new image would be: its own
    value would widen the scale, so that 36 images would give 3.0 % false alarms rather than the promised 2.7 %.

    Parameters
    ----------
    unseen
        Nearness of unseen real images to the training set: a column per space, larger is nearer.
    family
        Patient of each image. Images of a patient are alike, so each patient counts once, by its nearest image;
        UserError with fewer than `MIN_UNSEEN` patients.
    """
    codes = codes_of(family, len(unseen))
    n = int(codes.max(initial=-1)) + 1
    refuse_too_few(len(unseen), n)
    values, largest = unseen[list(spaces)].to_numpy(dtype=float), np.full(n, -np.inf)
    for part in np.array_split(np.random.default_rng(0).permutation(n), min(n, MOST_FOLDS)):
        left_out = np.isin(codes, part)
        half, spread = _scale(values[~left_out])
        np.maximum.at(largest, codes[left_out], ((values[left_out] - half) / spread).max(1))
    ordered = np.sort(largest)
    rank = min(int(np.ceil((1 - false_alarms) * (n + 1))), n)
    start = float(np.quantile(ordered, 0.9))
    excess = ordered[ordered > start] - start
    tail = start + (float(excess.mean()) if len(excess) else 0.0) * np.log(0.1 / min(false_alarms, 0.1))
    threshold = max(float(ordered[rank - 1]), tail)
    worst = float(beta.ppf(CONFIDENCE, n + 1 - rank, rank))  # of the share above the order statistic of that rank
    promised = max(false_alarms, 1 / (n + 1))
    centre, widths = (dict(zip(spaces, scale.tolist(), strict=True)) for scale in _scale(values))
    return Calibration(centre, widths, threshold, promised, worst, len(unseen), n, source)


def _scale(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and spread of each space, from values [n, spaces]."""
    half, high = np.quantile(values, [0.5, 0.95], axis=0)
    return half, np.maximum(high - half, 1e-3)


def measured_alarms(
    unseen: pd.DataFrame, spaces: tuple[str, ...], false_alarms: float, *, folds: int = 5, family: Family = None
) -> Estimate:
    """Share of unseen real images called copies by the threshold of the other folds: the negative control."""
    codes = codes_of(family, len(unseen))
    n = int(codes.max(initial=-1)) + 1
    if n * (folds - 1) // folds < MIN_UNSEEN:
        return missing(len(unseen), f"{n} unseen images or patients are too few to leave a fifth of them out")
    fold = (np.random.default_rng(0).permutation(n) % folds)[codes]
    alarms = np.zeros(len(unseen), dtype=bool)
    for k in range(folds):
        fitted = calibrate(unseen[fold != k], spaces, false_alarms, "", codes[fold != k])
        alarms[fold == k] = fitted.score(unseen[fold == k]) > fitted.threshold
    return share(alarms, codes)
