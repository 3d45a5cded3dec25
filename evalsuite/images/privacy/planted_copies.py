"""Planted copies: the positive control, which shows whether the audit finds the copies that there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import simplejpeg
from numpy.typing import NDArray

from evalsuite.images.features.extractors import resized
from evalsuite.images.image_data import ArrayImages, ImageData
from evalsuite.stats.estimate import share

Image = NDArray[np.uint8]  # [h, w, 3]
ENOUGH = 0.95  # share of planted copies below which "no copies" proves little


def _cropped(image: Image, rng: np.random.Generator) -> Image:
    """A square part with 80 to 95 % of the shorter side, brought back to that side."""
    shorter = min(image.shape[:2])
    side = round(shorter * rng.uniform(0.8, 0.95))
    y, x = (int(rng.integers(0, length - side + 1)) for length in image.shape[:2])
    return resized(np.ascontiguousarray(image[y : y + side, x : x + side]), shorter)


def _recompressed(image: Image, rng: np.random.Generator) -> Image:
    coded = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=int(rng.integers(50, 80)), colorspace="RGB")
    return np.asarray(simplejpeg.decode_jpeg(coded, colorspace="RGB"))


def _noised(image: Image, rng: np.random.Generator) -> Image:
    return np.clip(np.rint(image + rng.normal(0, 4, image.shape)), 0, 255).astype(np.uint8)


#: How a copy may have been altered: name -> (image, generator) -> image.
KINDS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "exact": lambda image, _: image,
    "flipped": lambda image, rng: image[:, ::-1] if rng.random() < 0.5 else image[::-1],
    "cropped": _cropped,
    "recompressed": _recompressed,
    "noised": _noised,
}


def plant_copies(train: ImageData, per_kind: int) -> ArrayImages:
    """`per_kind` copies of each kind of training images; `strategy` holds the kind, `parent` the original."""
    rng = np.random.default_rng((0, 5))
    n = len(train.rows)
    rows = np.sort(rng.choice(n, min(n, per_kind), replace=False))
    samples, arrays = [], []
    for i, (sample, image) in enumerate(train.take(rows).images()):
        for kind, alter in KINDS.items():
            changes = {"id": f"planted-{kind}-{i}", "origin": "synthetic", "strategy": kind, "parent": sample.id}
            samples.append(sample.model_copy(update=changes))
            arrays.append(np.ascontiguousarray(alter(image, rng)))
    return ArrayImages(samples, arrays)


def control_table(planted: pd.DataFrame) -> pd.DataFrame:
    """One row for all and one per kind: n, found, rate, low, high, and the share whose original was named."""
    records = []
    for kind, part in [("all", planted), *planted.groupby("strategy", sort=False)]:
        copies = part["copy"].to_numpy(dtype=bool)
        found, named = share(copies, part["parent"].to_numpy()), float((part["nearest"] == part["parent"]).mean())
        head = {"kind": kind, "n": len(part), "found": int(copies.sum())}
        records.append(head | {"rate": found.value, "low": found.low, "high": found.high, "original_named": named})
    return pd.DataFrame(records)
