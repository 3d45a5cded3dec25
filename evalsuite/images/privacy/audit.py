"""Copies among synthetic images: every image's nearest training image, a calibrated decision, rates with intervals."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.least_numbers import PLANTED_COPIES
from evalsuite.images.cells import share_table
from evalsuite.images.features.extract import Features, Preprocess, extract
from evalsuite.images.features.extractors import Extractor, open_extractors
from evalsuite.images.features.nearest import largest_cosine
from evalsuite.images.image_data import (
    ImageData,
    ImageSource,
    Track,
    families,
    image_side,
    open_images,
    open_real,
    untracked,
)
from evalsuite.images.privacy.calibration import Calibration, calibrate, measured_alarms, refuse_too_few
from evalsuite.images.privacy.planted_copies import ENOUGH, control_table, missed_kinds, plant_copies
from evalsuite.images.privacy.redrawn_parts import judge_parts, keeps_a_part
from evalsuite.images.privacy.reidentification import reidentification_sentence, reidentification_table
from evalsuite.images.privacy.search_index import TrainingIndex, build, search
from evalsuite.images.privacy.unseen_images import left_out_sentence, unseen_images
from evalsuite.page.image_check import Status
from evalsuite.stats.estimate import Estimate, share

SPACES = ("closeness", "apart", "distinct")  # phash misses crops, so it is reported and takes no part in the decision
WHOLE, PART = "whole picture", "redrawn part"  # what of an image the decision rests on
UNCLEARED = "bare skin around a lesion is as near to other bare skin as to a noised copy of itself"


@dataclass(frozen=True)
class CopyAudit:
    """What `audit_copies` found, and what shows that the audit works.

    Attributes
    ----------
    images
        One row per synthetic image: id, class, group, strategy, nearest training image and nearness in each space,
        score, threshold, copy (score above threshold), and `how` it was judged (whole picture or redrawn part).
    rates
        Share of copies, one row per cell: how, family, cell, n, copies, rate, low, high.
    calibration, parts
        The thresholds for whole pictures and for redrawn parts (None without inpainted images).
    unseen
        The unseen real images that set the threshold, scored in the same way.
    left_out
        Unseen real images that show a lesion of the training set: copies and photographs taken again, with the nearest
        training image. They are no measure of how near unseen lesions lie, and set no threshold.
    control
        Planted copies found, one row per kind (`control_table`).
    alarms
        Share of unseen real images called copies, measured by cross-fitting.
    reidentification
        Nearness in each encoder alone, one row per encoder (`reidentification_table`); none without encoders.
    """

    images: pd.DataFrame
    rates: pd.DataFrame
    calibration: Calibration
    parts: Calibration | None
    unseen: pd.DataFrame
    left_out: pd.DataFrame
    control: pd.DataFrame
    alarms: Estimate
    reidentification: pd.DataFrame

    @property
    def quarantine(self) -> list[str]:
        """Ids of the images that are copies, sorted."""
        return sorted(self.images.loc[self.images["copy"], "id"])

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        return _verdict(self)[0]

    @property
    def status(self) -> Status:
        """The verdict in a word.

        good: no more copies than false alarms; warn: more, within chance, or more than chance explains in an encoder
        alone; bad: more than chance explains; unknown: fewer than 95 % of the planted copies were found, or images were
        outpainted, so that a low rate proves little.
        """
        return _verdict(self)[1]

    @property
    def doubts(self) -> list[str]:
        """Why a low rate proves little, in sentences; none where it proves what it says."""
        planted, found = self.control.iloc[0], []
        if (least := int(self.control["n"].iloc[1:].min())) < PLANTED_COPIES:
            found.append(
                f"{least} planted copies of a kind are too few to prove the absence of copies; "
                f"{PLANTED_COPIES} are the least."
            )
        if planted["rate"] < ENOUGH:
            found.append("Too few planted copies are found for this to prove the absence of copies.")
        outpainted = self.images["strategy"].eq("outpaint") & self.images["how"].eq(PART)
        if outpainted.any():  # planted copies are whole pictures, so they do not test this
            found.append(f"This does not clear {outpainted.sum()} outpainted images: {UNCLEARED}.")
        return found

    @property
    def rate(self) -> Estimate:
        """Share of copies among all synthetic images, with an interval over families of images."""
        return share(self.images["copy"].to_numpy(dtype=bool), families(self.images))


def audit_copies(
    *,
    train: ImageSource,
    synthetic: ImageSource,
    test: ImageSource | None = None,
    false_alarms: float = 0.01,
    extractors: Sequence[Extractor | str] = (),
    control: int = 20,
    folder: Path | None = None,
    track: Track = untracked,
) -> CopyAudit:
    """Find synthetic images that reproduce a training image.

    Parameters
    ----------
    train
        The real images that the generator was tuned on: shards or a folder of images by path, an open set, or an array
        uint8 [n, h, w, 3]. Image i of an array gets the id `train-i`; of the others `synthetic-i` and `test-i`.
    synthetic
        The images it made.
    test
        Real images of the same source that the generator has not seen, of at least 20 patients: they set the
        threshold. Without them training images are searched for among the other training images, which is stricter
        where the training set holds duplicates.
    false_alarms
        Share of unseen real images that may be called copies, from 0 to 1. With n unseen patients the audit can
        promise at best 1 / (n + 1).
    extractors
        Feature spaces in addition to the pixels (SSCD, DINOv2, ...), compared by cosine; opened or by name.
    control
        Planted copies of each kind that the audit must find.
    folder
        Keeps the prepared training set and the features for the next call; None: a temporary folder.
    track
        Shows the progress of each pass over the images.

    Raises
    ------
    UserError
        An empty set, too few unseen images, or a test image that is also a training image.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> train, test = rng.integers(0, 256, (2, 24, 32, 32, 3), dtype=np.uint8)
    >>> audit = audit_copies(train=train, synthetic=train[:2, :, ::-1], test=test, control=1)
    >>> audit.images[["nearest", "copy"]].to_dict("list")
    {'nearest': ['train-0', 'train-1'], 'copy': [True, True]}
    """
    known, made = open_real(train, name="train"), open_images(synthetic, name="synthetic", origin="synthetic")
    unseen = None if test is None else open_real(test, name="test")
    calibrating = (known if unseen is None else unseen).rows
    refuse_too_few(len(calibrating), len(set(families(calibrating))))  # before minutes of work
    with tempfile.TemporaryDirectory() as scratch:
        keep = folder or Path(scratch)
        index = build(known, keep, track)
        planted = plant_copies(known, control)
        source, floor, left_out = unseen_images(index, known, unseen, track)
        unseen = unseen and unseen.take(np.flatnonzero(unseen.rows["id"].isin(floor["id"]).to_numpy()))
        found = search(index, made, track=track)
        controls = search(index, planted, "planted copies", track=track)
        known_features: dict[str, Features] = {}
        sides = ((found, made), (controls, planted), (floor, unseen))
        for extractor in open_extractors(extractors):
            column, embedded = _add_cosines(known, sides, extractor, keep, track)
            known_features[column] = embedded
        spaces = (*SPACES, *known_features)
        calibration = calibrate(floor, spaces, false_alarms, source, families(floor))
        for frame in (found, controls, floor):
            frame["score"] = calibration.score(frame)
            frame["copy"] = frame["score"] > calibration.threshold
        found["threshold"] = calibration.threshold
        found["how"], found["kept"], parts = WHOLE, np.nan, None
        if len(rows := _inpainted(found, index)):
            judged, parts = judge_parts(made.take(rows), index, unseen, false_alarms, source, track)
            _replace(found, rows, judged)
        again = reidentification_table(found, floor, controls, known_features, false_alarms, source)
    alarms = measured_alarms(floor, spaces, false_alarms, family=families(floor))
    rates, control_found = rate_table(found), control_table(controls)
    return CopyAudit(found, rates, calibration, parts, floor, left_out, control_found, alarms, again)


def _add_cosines(
    train: ImageData,
    sides: Sequence[tuple[pd.DataFrame, ImageData | None]],
    extractor: Extractor,
    folder: Path,
    track: Track,
) -> tuple[str, Features]:
    """Add the nearness in a feature space to each table; its name, and the training images' features.

    A table without images is of training images.
    """
    step, name = Preprocess(image_side(train), None), f"cosine[{extractor.name}]"
    known = extract(train, extractor, step, folder, track=track)
    for frame, data in sides:
        side = known if data is None else extract(data, extractor, step, folder, track=track)
        nearest = largest_cosine(side, known, leave_out_self=data is None)
        frame[name] = frame["id"].map(nearest["cosine"])
        frame[f"nearest_{name}"] = frame["id"].map(nearest["nearest"])
    return name, known


def _inpainted(found: pd.DataFrame, index: TrainingIndex) -> NDArray[np.intp]:
    """Rows of images that keep a part of a training image by design."""
    known = set(index.frame["id"])
    origins = zip(found["strategy"], found["parent"], strict=True)
    return np.flatnonzero([keeps_a_part(strategy, parent) and parent in known for strategy, parent in origins])


def _replace(found: pd.DataFrame, rows: NDArray[np.intp], parts: pd.DataFrame) -> None:
    """Put the decision on redrawn parts, by id, in the place of that on whole pictures."""
    judged = parts.loc[found["id"].iloc[rows]]
    for column in judged:
        found.loc[rows, column] = judged[column].to_numpy()
    found.loc[rows, "how"] = PART
    whole = ["structure", "apart", "distinct", "phash", *(name for name in found if str(name).startswith("cosine["))]
    found.loc[rows, whole] = np.nan  # measured on the whole picture, so also on the part that was kept


def rate_table(images: pd.DataFrame) -> pd.DataFrame:
    """Share of copies per class, group and strategy; redrawn parts apart from whole pictures."""
    parts = [share_table(part, "copy", "copies").assign(how=how) for how, part in images.groupby("how", sort=False)]
    table = pd.concat(parts, ignore_index=True)
    return table[["how", *table.columns.drop("how")]]


def _verdict(audit: CopyAudit) -> tuple[str, Status]:
    planted = audit.control.iloc[0]
    sentences = [
        f"{int(audit.images['copy'].sum())} of {len(audit.images)} synthetic images are nearer to a training image "
        "than unseen real images are.",
        audit.calibration.sentence(),
        left_out_sentence(audit.left_out),
        f"Of the planted copies, {planted['found']} of {planted['n']} were found.",
        missed_kinds(audit.control),
        alarms_sentence(audit.alarms),
        reidentification_sentence(audit.reidentification),
    ]
    text = " ".join(filter(None, sentences))
    alarms = {WHOLE: audit.calibration, PART: audit.parts}
    found = [_compared(part, known) for how, part in audit.images.groupby("how") if (known := alarms[str(how)])]
    if (audit.reidentification["status"] == "bad").any():
        found.append("warn")
    ranks: tuple[Status, ...] = ("unknown", "good", "warn", "bad")
    worst = max(found, key=ranks.index, default=ranks[0])
    if worst == "bad":
        return text, worst
    return " ".join([text, *audit.doubts]), "unknown" if audit.doubts else worst


def alarms_sentence(alarms: Estimate) -> str:
    """The false alarms that were measured, or why there are none, in words."""
    if np.isnan(alarms.value):
        return f"The false alarms could not be measured: {alarms.note}."
    return (
        f"Of {alarms.n} unseen images, each judged by the others, {alarms.value:.1%} were called copies "
        f"(95 % interval {alarms.low:.1%} to {alarms.high:.1%})."
    )


def _compared(part: pd.DataFrame, known: Calibration) -> Status:
    """The rate of copies compared with that of false alarms, which is uncertain where few unseen images set it."""
    rate = share(part["copy"].to_numpy(dtype=bool), families(part))
    return "bad" if rate.low > known.worst else "warn" if rate.value > known.false_alarms else "good"
