"""Small JPEGs of the images of a set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from evalsuite.images.image_data import ImageData


def thumbnails_of(data: ImageData, ids: Iterable[str]) -> dict[str, bytes]:
    """A small JPEG of each of the images with these ids, by id."""
    rows = np.flatnonzero(data.rows["id"].isin(set(ids)).to_numpy())
    return {sample.id: _thumbnail(image) for sample, image in data.take(rows).images()}


def _thumbnail(image: NDArray[np.uint8], size: int = 96) -> bytes:
    small = Image.fromarray(image)
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(np.asarray(small)), quality=85, colorspace="RGB"))
