"""The real images that image-to-image and inpainting start from: found, checked and cut to size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.progress import Ticker, no_tick
from dermforge.common.regular_file import read_regular
from gen.plan.mask_files import MaskFiles
from gen.plan.masks import Mask
from shards.format.images import MAX_BYTES, decode_image, image_size
from shards.format.reader import ImageSet


class Parents:
    """Real images by id, from shards or a folder, and their lesion masks from a folder of them."""

    def __init__(self, data: ImageSet, where: str | Path, masks: Path | None = None) -> None:
        self.data, self.where = data, where
        self.masks = MaskFiles(masks) if masks else None
        self.rows: pd.DataFrame = data.rows

    def usable(self, classes: Sequence[str] | None = None) -> pd.DataFrame:
        """Rows (of some classes) that may be drawn from: validation and test images must not leak into training."""
        held_out = self.rows["split"].isin(["validation", "test"])
        if held_out.all():
            raise UserError(
                f"all {len(self.rows)} images in {self.where} are for validation or test; "
                "images made from them would leak into training: give training images"
            )
        rows = self.rows[~held_out].sort_values("id")
        return rows if classes is None else rows[rows["class"].isin(classes)]

    def check(self, ids: Iterable[str], lesions: Iterable[str] = (), tick: Ticker = no_tick) -> None:
        """Decode every parent that a plan names, before anything is generated; a header alone does not show damage.

        Raises
        ------
        UserError
            One is missing, not an image, broken, beyond the limits, or lacks its mask.
        """
        known = set(self.rows["id"])
        wanted = sorted(set(ids))
        if missing := [name for name in wanted if name not in known]:
            raise UserError(
                f"{len(missing)} of {len(wanted)} parents are not in {self.where} "
                f"({', '.join(missing[:3])}); give the images that the plan was made from"
            )
        for name in wanted:
            self._pixels(name)
            tick()
        for name in sorted(set(lesions)):
            self._mask(name)

    def image(self, name: str, size: int) -> NDArray[np.uint8]:
        """A parent as RGB, its short side scaled to `size` and the middle cut out, [size, size, 3]."""
        return np.asarray(_cut(Image.fromarray(self._pixels(name)), size, Image.Resampling.LANCZOS))

    def lesion(self, name: str, size: int) -> Mask:
        """A parent's mask, scaled and cut as its image is."""
        return np.asarray(_cut(self._mask(name), size, Image.Resampling.NEAREST)) > 127

    def _pixels(self, name: str) -> NDArray[np.uint8]:
        encoded = self._encoded(name)
        try:
            return decode_image(encoded)
        except UserError as error:
            raise UserError(f"parent {name} in {self.where}: {error}") from error

    def _encoded(self, name: str) -> bytes:
        try:
            _, data = self.data.read(name)
            image_size(data)
        except (UserError, CheckFailed) as error:
            raise UserError(f"parent {name} in {self.where}: {error}") from error
        return data

    def _mask(self, name: str) -> Image.Image:
        if self.masks is None:
            raise UserError("the plan redraws lesions; give a folder of their masks, each with the name of its image")
        path = self.masks.find(name)
        try:
            data = read_regular(path, MAX_BYTES)
            got, expected = image_size(data), image_size(self._encoded(name))
            pixels = decode_image(data)
        except UserError as error:
            raise UserError(f"mask {path}: {error}") from error
        if not _same_shape(got, expected):
            raise UserError(
                f"mask {path} has {got[0]} x {got[1]} pixels and its image {expected[0]} x {expected[1]}; one must be "
                "the other, scaled"
            )
        return Image.fromarray(pixels).convert("L")


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes are of one picture, scaled: `shards make` reduces photographs, and masks stay as they were."""
    (w, h), (width, height) = sorted((one, other))
    return abs(w * height / width - h) <= 1 or abs(h * width / height - w) <= 1


def _cut(image: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), resampling).crop((left, top, left + size, top + size))
