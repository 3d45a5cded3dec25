"""What the filter judges an image by: whether it is recognised, typical of its class, on tone and intact."""

from __future__ import annotations

import numpy as np
from sklearn.covariance import LedoitWolf

from dermforge.common.errors import UserError
from dermforge.common.least_numbers import FILTER_CLASS
from evalsuite.images.features.extract import Features
from evalsuite.images.image_data import ImageData, Track, untracked
from evalsuite.images.quality.utility import linear
from evalsuite.images.tone.cut_points import CUTS
from evalsuite.images.tone.tone_table import image_table

#: Scores where more is better, with what a low one means.
CRITERIA = {
    "recognised": "an independent classifier does not see the class",
    "typical": "far from all real images of the class",
    "on_tone": "not of the requested skin tone",
    "intact": "less contrast, or more white and black pixels, than real images have",
    "novel": "a copy of a training image",
}


def score_images(
    data: ImageData, judged: Features, train: Features, track: Track = untracked
) -> dict[str, dict[str, float]]:
    """The score of every criterion but `novel` for each image: criterion -> id -> score; larger is better.

    Parameters
    ----------
    judged, train
        Features of these images and of the real training images.
    """
    tone = image_table(data, CUTS["del-bino"], track)
    return {
        "recognised": recognition(train, judged),
        "typical": typicality(train, judged),
        "intact": intactness(data),
        "on_tone": dict(zip(tone["id"], -tone["degrees_off"].abs(), strict=True)),
    }


def intactness(data: ImageData) -> dict[str, float]:
    """Spread of an image's lightness times the share of its pixels that are neither white nor black, by id."""
    scores = {}
    for sample, image in data.images():
        grey = image.mean(-1)
        saturated = ((image >= 254).all(-1) | (image <= 1).all(-1)).mean()
        scores[sample.id] = float(grey.std() * (1 - saturated))
    return scores


def recognition(train: Features, judged: Features) -> dict[str, float]:
    """Probability of each image's own class by a linear classifier on real features, by id; NaN for unknown classes."""
    labels = train.frame["class"].to_numpy(dtype=str)
    if len(set(labels)) < 2:
        raise UserError(f"the training images are all of the class {labels[0]}; a classifier needs two classes")
    model = linear().fit(train.take(), labels)
    column = {label: i for i, label in enumerate(model.classes_)}
    own = [
        row[column[label]] if label in column else np.nan
        for row, label in zip(model.predict_proba(judged.take()), judged.frame["class"], strict=True)
    ]
    return dict(zip(judged.frame["id"], own, strict=True))


def typicality(train: Features, judged: Features) -> dict[str, float]:
    """Minus the Mahalanobis distance to the class's real features (shrunk covariance, Ledoit & Wolf 2004), by id.

    NaN for a class with fewer than `FILTER_CLASS` real images.
    """
    x, labels = train.take(), train.frame["class"].to_numpy(dtype=str)
    centred = np.concatenate([x[labels == c] - x[labels == c].mean(0) for c in sorted(set(labels))])
    precision = LedoitWolf(assume_centered=True).fit(centred).precision_
    means = {c: x[labels == c].mean(0) for c in set(labels) if (labels == c).sum() >= FILTER_CLASS}
    scores = {}
    for id, label, value in zip(judged.frame["id"], judged.frame["class"], judged.take(), strict=True):
        away = value - means[label] if label in means else np.full(len(value), np.nan)
        scores[id] = -float(np.sqrt(away @ precision @ away))
    return scores
