"""Small JPEGs of the images of a set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from evalsuite.images.image_data import ImageData
from shards.format.mark import Mark, marked
from shards.format.schema import Origin


def thumbnails_of(data: ImageData, ids: Iterable[str]) -> dict[str, bytes]:
    """A small JPEG of each of the images with these ids, by id."""
    rows = np.flatnonzero(data.rows["id"].isin(set(ids)).to_numpy())
    return {sample.id: _thumbnail(image, sample.origin) for sample, image in data.take(rows).images()}


def _thumbnail(image: NDArray[np.uint8], origin: Origin, size: int = 96) -> bytes:
    small = Image.fromarray(image)
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    jpeg = bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(np.asarray(small)), quality=85, colorspace="RGB"))
    return marked(jpeg, Mark("trainedAlgorithmicMedia")) if origin == "synthetic" else jpeg
