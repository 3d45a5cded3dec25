"""The real images that set the threshold: unseen by the generator, and of no lesion of the training set."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from dermforge.common.least_numbers import AUDIT_PATIENTS as MIN_UNSEEN
from evalsuite.images.image_data import ImageData, Track, describe
from evalsuite.images.privacy.reshots import same_lesion
from evalsuite.images.privacy.search_index import TrainingIndex, search

MOST_SEARCHED = 1000  # training images that stand in for unseen ones where there is no test set


def unseen_images(
    index: TrainingIndex, train: ImageData, unseen: ImageData | None, track: Track
) -> tuple[str, pd.DataFrame, pd.DataFrame]:
    """Real images that the generator cannot have copied: what they are, how near each lies, and those left out.

    Copies and photographs of lesions of the training set are left out by a fixed rule, so that a few per cent of them
    do not move the threshold.
    """
    if unseen is not None:
        _disjoint(index, unseen)
        source, found = "unseen test images", search(index, unseen, "unseen images", track=track)
    else:
        source = "training images, each searched for among the others (no test set was given)"
        rows = index.frame["id"].sample(min(len(index.frame), MOST_SEARCHED), random_state=0).index
        found = search(index, train.take(np.sort(rows)), "training images", leave_out_self=True, track=track)
    again = same_lesion(found, len(index.frame))
    if (~again).sum() < MIN_UNSEEN <= len(found):
        raise UserError(
            f"{again.sum()} of {len(found)} {source} show a lesion of the training set (the first is "
            f"{found.loc[again, 'id'].iloc[0]}, as {found.loc[again, 'nearest'].iloc[0]}); at least {MIN_UNSEEN} "
            "others are needed to calibrate the audit; split by lesion or patient (`evalsuite leak` shows the pairs)"
        )
    return source, found[~again].reset_index(drop=True), found[again].reset_index(drop=True)


def _disjoint(index: TrainingIndex, test: ImageData) -> None:
    train, unseen = index.frame, describe(test)
    same_content = set(train["image_sha256"]) & set(unseen["image_sha256"]) - {None, ""}
    shared = set(train["id"]) & set(unseen["id"]) | same_content
    if shared:
        raise UserError(
            f"{len(shared)} test images have the id or the content of a training image ({min(shared)[:16]}, ...): they "
            "cannot calibrate the audit; give images that the generator has not seen, under names of their own"
        )


def left_out_sentence(left_out: pd.DataFrame) -> str:
    """How many real images set no threshold because they show a lesion of the training set; empty for none."""
    if left_out.empty:
        return ""
    count = "One real image is" if len(left_out) == 1 else f"{len(left_out)} real images are"
    return f"{count} left out of the calibration: a lesion of the training set (a copy, or photographed again)."
