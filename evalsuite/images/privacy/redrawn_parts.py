"""Copies in inpainted and outpainted images, which keep a part of a photograph by design: only the redrawn part counts.

The redrawn part is compared with the same place of every training image, in four orientations. A part turned by a right
angle is not found: the borders of plain pictures are too much alike to search eight. Unseen real images with the same
part cut out of them set the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from evalsuite.images.image_data import ImageData, Track, describe, families, untracked
from evalsuite.images.privacy.calibration import Calibration, calibrate
from evalsuite.images.privacy.descriptors import LOW, SIDE, Lab, low, resampler, shrink, small_lab
from evalsuite.images.privacy.search_index import BLOCK, TrainingIndex, picture
from shards.format.schema import Sample

TOLERANCE = 3.0  # CIELAB units by which a codec and the autoencoder change a pixel that was kept
MIN_PART = 0.02  # a redrawn part below this share of the image counts as none
MOST_UNSEEN = 1000


@dataclass(frozen=True)
class Parts:
    """Parts of pictures: colours [n, LOW, LOW, 3] and how much of each cell belongs to the part [n, LOW, LOW]."""

    colours: Lab
    weights: NDArray[np.float32]


def keeps_a_part(strategy: str | None, parent: str | None) -> bool:
    """Whether a large part of the picture is the parent's by design; the chain inpaint-outpaint redraws all of it."""
    return parent is not None and strategy in ("inpaint", "outpaint")


def judge_parts(
    inpainted: ImageData,
    index: TrainingIndex,
    unseen: ImageData | None,
    false_alarms: float,
    source: str,
    track: Track = untracked,
) -> tuple[pd.DataFrame, Calibration]:
    """Decide on inpainted images: kept (share of the parent), nearest, closeness, score, threshold, copy; by id.

    An image without a redrawn part is the photograph itself: its closeness is infinite. Unseen real images, or else
    training images, set the threshold as `calibrate` does.
    """
    ids, parents, kept, parts = _redrawn(track(inpainted.images(), "redrawn parts", len(inpainted.rows)), index)
    closeness, row = nearest_parts(index, parts)
    found = pd.DataFrame({"kept": kept, "nearest": index.frame["id"].to_numpy()[row], "closeness": closeness}, ids)
    unchanged = found["kept"] > 1 - MIN_PART
    found.loc[unchanged, "closeness"] = np.inf
    found.loc[unchanged, "nearest"] = np.array(parents, dtype=object)[unchanged]
    known, kin = _known(index, unseen)
    cuts = parts.weights[~unchanged.to_numpy()]  # an empty part is equally near to every image
    if len(cuts):
        known = Parts(known.colours, cuts[np.random.default_rng(0).choice(len(cuts), len(known.colours))])
    floor = pd.DataFrame({"closeness": nearest_parts(index, known, kin if unseen is None else None)[0]})
    calibration = calibrate(floor, ("closeness",), false_alarms, source, kin)
    found["score"], found["threshold"] = calibration.score(found), calibration.threshold
    found["copy"] = found["score"] > calibration.threshold
    return found, calibration


def redrawn_part(strategy: str | None, mask: str | None, image: Lab, parent: Lab) -> NDArray[np.bool_]:
    """Where the picture was redrawn, bool [SIDE, SIDE]: known if the mask fixes the place, else measured."""
    if mask == "centre":  # a quarter of the area (Sagers 2023)
        part = np.zeros((SIDE, SIDE), dtype=bool)
        part[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = True
        return part if strategy == "inpaint" else ~part
    change = np.linalg.norm(shrink(image, LOW) - shrink(parent, LOW), axis=-1)
    return np.kron(change > TOLERANCE, np.ones((SIDE // LOW, SIDE // LOW))).astype(bool)


def nearest_parts(
    index: TrainingIndex, parts: Parts, own: NDArray[np.object_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Closeness to the nearest training image (-log10 of the mean squared difference less means), and that image's row.

    Training images of the part's `own` family are left out.
    """
    best, row = np.full(len(parts.colours), np.inf), np.zeros(len(parts.colours), dtype=np.intp)
    for start, block in _blocks(index):
        for axes in ((), (1,), (2,), (1, 2)):  # as it is, upside down, mirrored, turned by 180 degrees
            distance = part_distances(parts, np.flip(block, axes))
            if own is not None:
                distance[own[:, None] == index.family[None, start : start + len(block)]] = np.inf
            nearest = distance.argmin(1)
            value = np.take_along_axis(distance, nearest[:, None], 1)[:, 0]
            row, best = np.where(value < best, start + nearest, row), np.minimum(value, best)
    return -np.log10(np.maximum(best, 0) + 1e-4), row


def part_distances(parts: Parts, pictures: Lab) -> NDArray[np.float64]:
    """Mean squared difference within each part, less the squared mean difference, [q, n]; pictures [n, LOW, LOW, 3]."""
    q, n = len(parts.colours), len(pictures)
    weights = parts.weights.reshape(q, -1).astype(np.float64)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-9)
    total = np.zeros((q, n))
    for c in range(3):
        a = parts.colours[..., c].reshape(q, -1).astype(np.float64)
        b = np.ascontiguousarray(pictures[..., c]).reshape(n, -1).astype(np.float64)
        square = (weights * a**2).sum(1)[:, None] + weights @ (b**2).T - 2 * (weights * a) @ b.T
        total += square - ((weights * a).sum(1)[:, None] - weights @ b.T) ** 2
    return total / 3


def _redrawn(
    inpainted: Iterable[tuple[Sample, NDArray[np.uint8]]], index: TrainingIndex
) -> tuple[list[str], list[str], NDArray[np.float64], Parts]:
    """Id, parent, share kept and redrawn part of each image."""
    ids, parents, kept, colours, weights = [], [], [], [], []
    for sample, image in inpainted:
        lab = small_lab(image)
        part = redrawn_part(sample.strategy, sample.mask, lab, picture(index, str(sample.parent)))
        ids.append(sample.id)
        parents.append(str(sample.parent))
        kept.append(1 - float(part.mean()))
        colours.append(low(lab))
        weights.append(shrink(part[..., None].astype(np.float32), LOW)[..., 0])
    return ids, parents, np.array(kept), Parts(np.stack(colours), np.stack(weights))


def _blocks(index: TrainingIndex) -> Iterator[tuple[int, Lab]]:
    """Training pictures at LOW x LOW, a block at a time, and the row of the first."""
    matrix = resampler(SIDE, LOW, Image.Resampling.BOX)
    for start in range(0, len(index.frame), BLOCK):
        planes = np.asarray(index.pictures[start : start + BLOCK], dtype=np.float32).transpose(0, 3, 1, 2)
        yield start, (matrix @ planes @ matrix.T).transpose(0, 2, 3, 1).astype(np.float32, copy=False)


def _known(index: TrainingIndex, unseen: ImageData | None) -> tuple[Parts, NDArray[np.object_]]:
    """Whole pictures of which no part is a copy, with their families: unseen images, or else training images."""
    frame = index.frame if unseen is None else describe(unseen)
    if unseen is None:
        rows = np.sort(np.random.default_rng(0).choice(len(frame), min(len(frame), MOST_UNSEEN), replace=False))
        colours = np.stack([low(index.pictures[i].astype(np.float32)) for i in rows])
    else:
        rows = np.arange(min(len(unseen.rows), MOST_UNSEEN))
        colours = np.stack([low(small_lab(image)) for _, image in unseen.take(rows).images()])
    return Parts(colours, np.ones(colours.shape[:3], dtype=np.float32)), families(frame.iloc[rows])
