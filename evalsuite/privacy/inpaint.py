"""Inpainting keeps most of a real photograph by design: only the part drawn anew is compared with its parent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalsuite.privacy.index import Index, picture
from evalsuite.privacy.picture import SIDE, Lab, shrink, small_lab

TOLERANCE = 3.0  # CIELAB units that a codec and the autoencoder change a kept pixel by
MIN_PART = 0.02  # less drawn anew than this share of the image is called nothing


@dataclass(frozen=True)
class Redrawn:
    """kept: share of the picture that is the parent's; closeness of the part drawn anew to the parent's same part."""

    kept: float
    closeness: float


def is_inpainted(strategy: str | None, parent: str | None) -> bool:
    """Whether a part of the picture is the parent's by design."""
    return parent is not None and strategy is not None and strategy.startswith("inpaint") and "out" not in strategy


def redrawn_part(mask: str | None, image: Lab, parent: Lab) -> NDArray[np.bool_]:
    """Where the picture was drawn anew: by the mask's word where it fixes the place, else as measured."""
    if mask == "centre":  # a quarter of the area, Sagers 2023
        part = np.zeros((SIDE, SIDE), dtype=bool)
        part[SIDE // 4:-SIDE // 4, SIDE // 4:-SIDE // 4] = True
        return part
    change = np.linalg.norm(shrink(image, 16) - shrink(parent, 16), axis=-1)
    return np.kron(change > TOLERANCE, np.ones((SIDE // 16, SIDE // 16))).astype(bool)


def compare(image: NDArray[np.uint8], parent: Lab, mask: str | None) -> Redrawn:
    """An inpainted image against its parent's small picture."""
    lab = small_lab(image)
    part = redrawn_part(mask, lab, parent)
    if part.mean() < MIN_PART:
        return Redrawn(1.0, np.inf)  # nothing was drawn anew: it is the photograph itself
    return Redrawn(1 - float(part.mean()), closeness(lab, parent, part))


def closeness(a: Lab, b: Lab, part: NDArray[np.bool_]) -> float:
    """-log10 of the mean squared difference of two pictures within a part, after its mean is taken off."""
    weight = shrink(part[..., None].astype(np.float32), 16)
    difference = shrink(a, 16) - shrink(b, 16)
    mean = (difference * weight).sum((0, 1)) / weight.sum()
    return -float(np.log10((((difference - mean) ** 2) * weight).sum() / (3 * weight.sum()) + 1e-4))


def threshold(index: Index, false_alarms: float, *, most: int = 300, seed: int = 0) -> float:
    """How near the centres of two different real images come: the upper quantile over images of their nearest.

    Each of up to `most` training images is compared with `most` others of other families at the same place.
    """
    rng, n = np.random.default_rng(seed), len(index.frame)
    rows = np.sort(rng.choice(n, min(n, most), replace=False))
    family = index.frame["cluster"].where(index.frame["cluster"].notna(), index.frame["id"]).to_numpy()[rows]
    centres = index.pictures[rows].astype(np.float32)[:, SIDE // 4:-SIDE // 4, SIDE // 4:-SIDE // 4]
    low = np.stack([shrink(c, 8) for c in centres])
    low = (low - low.mean((1, 2), keepdims=True)).reshape(len(rows), -1)
    square = (low**2).sum(1)
    distance = (square[:, None] + square[None] - 2 * low @ low.T) / low.shape[1]
    distance[family[:, None] == family[None]] = np.inf
    nearest = -np.log10(np.maximum(distance.min(1), 0) + 1e-4)
    return float(np.quantile(nearest[np.isfinite(nearest)], 1 - false_alarms))


def parent_picture(index: Index, parent: str) -> Lab | None:
    """The parent's small picture; None where it is not in the training set."""
    return picture(index, parent) if (index.frame["id"] == parent).any() else None
