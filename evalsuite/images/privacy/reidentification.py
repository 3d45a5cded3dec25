"""How near synthetic images come to a training image in an encoder: the risk that a patient is recognised in them.

CheXGenBench (Dutt 2025) reports the mean and the largest score of a network that tells whether two radiographs are of
one patient. We know of none for skin, so any encoder stands in its place, and two controls say what it can do:
photographs of one patient among the training images, and planted copies. A score has no meaning by itself; the
threshold is the nearness that unseen real images reach as seldom as `false_alarms` says (`calibration`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalsuite.images.features.extract import Features
from evalsuite.images.features.nearest import unit_rows
from evalsuite.images.image_data import families
from evalsuite.images.privacy.calibration import calibrate
from evalsuite.images.privacy.planted_copies import ENOUGH
from evalsuite.page.image_check import Status
from evalsuite.stats.estimate import Estimate, bootstrap_mean, missing, share

SAYS: dict[Status, str] = {
    "bad": "nearer than unseen real images, more often than chance explains",
    "warn": "nearer than unseen real images, within chance",
    "good": "no nearer than unseen real images",
    "unknown": "cannot be determined: it misses planted copies",
}


def reidentification_table(
    found: pd.DataFrame,
    unseen: pd.DataFrame,
    planted: pd.DataFrame,
    known: Mapping[str, Features],
    false_alarms: float,
    source: str,
) -> pd.DataFrame:
    """One row per encoder.

    Cosines to the nearest training image, their mean and largest, of synthetic and of unseen real images; the threshold
    as a cosine; the share of synthetic images above it with an interval over families of images; of planted copies, and
    of training images with another photograph of the same patient, the share that the encoder finds at that threshold.

    Parameters
    ----------
    found, unseen, planted
        Synthetic images, unseen real images and planted copies with their cosines; without one (inpainted: a part of
        the training image is kept by design) an image is left out.
    known
        The column of the cosines of each encoder, and the features of the training images.
    """
    rows = [_row(c, found, unseen, planted, side, false_alarms, source) for c, side in known.items()]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["encoder", "status"])


def _row(
    column: str,
    found: pd.DataFrame,
    unseen: pd.DataFrame,
    planted: pd.DataFrame,
    known: Features,
    false_alarms: float,
    source: str,
) -> dict[str, object]:
    made = found[found[column].notna()]
    by = calibrate(unseen, (column,), false_alarms, source, families(unseen))
    threshold = by.centre[column] + by.threshold * by.spread[column]
    above = made[column].to_numpy(dtype=float) > threshold
    rate = share(above, families(made))
    mean = bootstrap_mean(made[column].to_numpy(dtype=float), family=families(made))
    copies = float((planted[column] > threshold).mean())
    again = same_patient(known, threshold)
    return {
        "encoder": column.removeprefix("cosine[").removesuffix("]"),
        "images": len(made),
        "mean": mean.value,
        "mean_low": mean.low,
        "mean_high": mean.high,
        "largest": float(made[column].max()),
        "unseen_mean": float(unseen[column].mean()),
        "unseen_largest": float(unseen[column].max()),
        "threshold": threshold,
        "above": int(above.sum()),
        "rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "false_alarms": by.false_alarms,
        "worst": by.worst,
        "planted": copies,
        "one_patient": again.value,
        "one_patient_low": again.low,
        "one_patient_high": again.high,
        "one_patient_n": again.n,
        "status": _status(rate, by.false_alarms, by.worst, copies),
    }


def _status(rate: Estimate, false_alarms: float, worst: float, copies: float) -> Status:
    if rate.low > worst:
        return "bad"
    if not np.isfinite(rate.value) or copies < ENOUGH:
        return "unknown"
    return "warn" if rate.value > false_alarms else "good"


def same_patient(known: Features, threshold: float) -> Estimate:
    """Of training images with another image of the same patient, the share with one nearer than a cosine."""
    best, cluster = _nearest_of_patient(known)
    again = np.isfinite(best)
    if not again.any():
        return missing(0, "no two training images are known to be of one patient")
    return share(best[again] > threshold, cluster[again])


def _nearest_of_patient(known: Features) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """The largest cosine of each training image to another one of its patient, -inf for none; and the patients."""
    cluster = known.frame["cluster"].to_numpy(dtype=object)
    best = np.full(len(cluster), -np.inf)
    for rows in known.frame.groupby("cluster").indices.values():
        if len(rows) > 1:
            unit = unit_rows(known.values[rows])
            cosine = unit @ unit.T
            np.fill_diagonal(cosine, -np.inf)
            best[rows] = cosine.max(1)
    return best, cluster


def reidentification_sentence(table: pd.DataFrame) -> str:
    """What the encoders say of the risk that a patient is recognised, in a sentence; empty without encoders."""
    if table.empty:
        return ""
    said = [
        f"by {row.encoder} {row.above} of {row.images} (largest {row.largest:.4f}; threshold {row.threshold:.4f}, at "
        f"which it finds {row.planted:.0%} of the planted copies)"
        for row in table.itertuples()
    ]
    return f"Nearer to a training image than unseen real images are, in one encoder alone: {', '.join(said)}."
