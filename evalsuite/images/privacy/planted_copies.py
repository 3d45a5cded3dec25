"""Planted copies: the positive control, which shows whether the audit finds the copies that there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import simplejpeg
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter

from evalsuite.images.features.extractors import resized
from evalsuite.images.image_data import ArrayImages, ImageData
from evalsuite.stats.estimate import share

Image = NDArray[np.uint8]  # [h, w, 3]
ENOUGH = 0.95  # share of planted copies below which "no copies" proves little


def _crop(least: float, most: float) -> Callable[[Image, np.random.Generator], Image]:
    """A square part with a share of the shorter side, anywhere, brought back to that side."""

    def crop(image: Image, rng: np.random.Generator) -> Image:
        shorter = min(image.shape[:2])
        side = round(shorter * rng.uniform(least, most))
        y, x = (int(rng.integers(0, length - side + 1)) for length in image.shape[:2])
        return resized(np.ascontiguousarray(image[y : y + side, x : x + side]), shorter)

    return crop


def _turned(image: Image, rng: np.random.Generator) -> Image:
    """By 15 degrees to either side; the corners become black, as in torchvision's rotation."""
    return np.asarray(Pillow.fromarray(image).rotate(15 * rng.choice([-1, 1]), Pillow.Resampling.BICUBIC))


def _recompressed(image: Image, rng: np.random.Generator) -> Image:
    coded = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=int(rng.integers(50, 80)), colorspace="RGB")
    return np.asarray(simplejpeg.decode_jpeg(coded, colorspace="RGB"))


def _blurred(image: Image, _: np.random.Generator) -> Image:
    return np.asarray(Pillow.fromarray(image).filter(ImageFilter.GaussianBlur(min(image.shape[:2]) / 100)))


def _whole(values: NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _grey(image: Image, _: np.random.Generator) -> Image:
    return np.repeat(np.asarray(Pillow.fromarray(image).convert("L"))[..., None], 3, axis=-1)


#: How a copy may have been altered by augmentation, a phone or a codec: name -> (image, generator) -> image.
KINDS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "exact": lambda image, _: image,
    "mirrored": lambda image, rng: image[:, ::-1] if rng.random() < 0.5 else image[::-1],
    "turned by a right angle": lambda image, rng: np.rot90(image, rng.choice([1, 3])),
    "turned by 15 degrees": _turned,
    "cropped to 80 to 95 %": _crop(0.8, 0.95),
    "cropped to 60 %": _crop(0.6, 0.6),
    "brighter": lambda image, _: _whole(image * 1.3),
    "darker": lambda image, _: _whole(image * 0.7),
    "more contrast": lambda image, _: _whole((image - image.mean()) * 1.4 + image.mean()),
    "grey": _grey,
    "recompressed": _recompressed,
    "blurred": _blurred,
    "noised": lambda image, rng: _whole(image + rng.normal(0, 4, image.shape)),
}


def plant_copies(train: ImageData, per_kind: int) -> ArrayImages:
    """`per_kind` copies of each kind of training images; `strategy` holds the kind, `parent` the original."""
    rng = np.random.default_rng((0, 5))
    n = len(train.rows)
    rows = np.sort(rng.choice(n, min(n, per_kind), replace=False))
    samples, arrays = [], []
    for i, (sample, image) in enumerate(train.take(rows).images()):
        for k, (kind, alter) in enumerate(KINDS.items()):
            changes = {"id": f"planted-{k}-{i}", "origin": "synthetic", "strategy": kind, "parent": sample.id}
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


def missed_kinds(control: pd.DataFrame) -> str:
    """A sentence on the kinds that are found too seldom for their absence to be shown; empty where there is none."""
    missed = control.iloc[1:][control.iloc[1:]["rate"] < ENOUGH].sort_values("rate", kind="stable")
    if missed.empty:
        return ""
    kinds = [f"{row.kind} ({row.found} of {row.n})" for row in missed.itertuples()]
    return f"Copies of these kinds may be missed: {', '.join(kinds)}."
