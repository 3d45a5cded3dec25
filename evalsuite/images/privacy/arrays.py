"""The audit of copies for images in memory, as other code calls it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.images.features.extractors import Extractor
from evalsuite.images.features.features import ArrayImages
from evalsuite.images.privacy.audit import CopyAudit, audit_copies, verdict
from evalsuite.stats.estimate import Estimate, share
from shards.format.schema import Sample

Images = NDArray[np.uint8]  # [n, h, w, 3]


@dataclass(frozen=True)
class ArrayAudit:
    """What `audit_arrays` found.

    Attributes
    ----------
    copies, n
        Synthetic images called copies, of how many.
    rate
        copies / n with its 95 % Wilson interval.
    flagged, nearest
        Rows of `synthetic` called copies [copies]; for every synthetic image the row of `train` nearest to it [n].
    score, threshold
        Nearness of every synthetic image [n], and the value above which an image is called a copy.
    false_alarms
        Promised share of unseen real images called copies, at most (0.01, or 1 / (tests + 1) with fewer than 99).
    measured_false_alarms
        The same share as measured by cross-fitting over the unseen images.
    control
        Planted copies: one row a kind (all, exact, flipped, cropped, recompressed, noised): n, found, rate, low, high.
    status
        good: no more copies than false alarms; warn: more, within chance; bad: more than chance explains;
        unknown: fewer than 95 % of the planted copies were found, so that few copies prove little.
    sentence
        The same in words.
    """

    copies: int
    n: int
    rate: Estimate
    flagged: NDArray[np.intp]
    nearest: NDArray[np.intp]
    score: NDArray[np.float64]
    threshold: float
    false_alarms: float
    measured_false_alarms: Estimate
    control: pd.DataFrame
    status: str
    sentence: str


def audit_arrays(
    train: Images,
    synthetic: Images,
    test: Images,
    *,
    false_alarms: float = 0.01,
    extractors: Sequence[Extractor] = (),
    control: int = 20,
    folder: Path | None = None,
    seed: int = 0,
) -> ArrayAudit:
    """Which synthetic images reproduce a training image, calibrated by unseen real images.

    Parameters
    ----------
    train, synthetic, test
        uint8 RGB [n, h, w, 3]: what the generator was tuned on, what it made, and real images of the same source that
        it has not seen (at least 20; 99 or more for a promise of 1 %).
    false_alarms
        Share of unseen real images that may be called copies.
    extractors
        Feature spaces beside the pixels.
    control
        Planted copies of each kind.
    folder
        Keeps the prepared training set for the next call; None: a temporary folder.

    Raises
    ------
    UserError
        Not uint8 RGB, too few unseen images, or a test image that is a training image.
    """
    sets = [_data(images, word) for word, images in (("train", train), ("synthetic", synthetic), ("test", test))]
    with tempfile.TemporaryDirectory() as scratch:
        audit = audit_copies(
            sets[0],
            sets[1],
            folder or Path(scratch),
            test=sets[2],
            false_alarms=false_alarms,
            extractors=extractors,
            control=control,
            seed=seed,
        )
    return _of(audit)


def _of(audit: CopyAudit) -> ArrayAudit:
    sentence, status = verdict(audit)
    flags = audit.table["copy"].to_numpy(dtype=bool)
    return ArrayAudit(
        copies=int(flags.sum()),
        n=len(flags),
        rate=share(flags),
        flagged=np.flatnonzero(flags),
        nearest=np.array([int(id.split("-")[1]) for id in audit.table["nearest"]]),
        score=audit.table["score"].to_numpy(dtype=float),
        threshold=audit.calibration.threshold,
        false_alarms=audit.calibration.false_alarms,
        measured_false_alarms=audit.alarms,
        control=audit.control,
        status=status,
        sentence=sentence,
    )


def _data(images: Images, word: str) -> ArrayImages:
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise UserError(f"{word} images are {images.dtype} {list(images.shape)}; expected uint8 [n, h, w, 3]")
    if not len(images):
        raise UserError(f"no {word} images; expected uint8 [n, h, w, 3] with n of at least 1")
    samples = [
        Sample(id=f"{word}-{i}", origin="real" if word != "synthetic" else "synthetic", label="image")
        for i in range(len(images))
    ]
    return ArrayImages(samples, list(images))
