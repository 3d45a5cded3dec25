"""Image descriptors by which copies are recognised: a small CIELAB picture, its orientations, a perceptual hash."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from dermforge.common.skin_tone import srgb_to_lab
from evalsuite.images.features.extractors import resized

T = TypeVar("T", bound=np.generic)
SIDE = 64  # pixels of the small picture
LOW = 16  # cells per side of the pictures that are compared part by part: noise and JPEG blocks average out
Lab = NDArray[np.float32]  # [SIDE, SIDE, 3]


def small_lab(image: NDArray[np.uint8]) -> Lab:
    """CIELAB of an image at SIDE x SIDE."""
    return srgb_to_lab(resized(image, SIDE).astype(np.float32) / 255).astype(np.float32)


def centre_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a picture, [s, s, 3]: a side or a height cut off turns a circle into no ellipse."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def turned(pictures: NDArray[T]) -> tuple[NDArray[T], ...]:
    """Square pictures [..., h, h, c] in their eight orientations: four right angles, mirrored or not."""
    both = pictures, np.swapaxes(pictures, -3, -2)
    return tuple(np.flip(p, axes) for p in both for axes in ((), (-3,), (-2,), (-3, -2)))


@lru_cache(maxsize=256)
def resampler(n: int, side: int, how: Image.Resampling) -> NDArray[np.float32]:
    """PIL's resize of n pixels to `side` as a matrix [side, n]: much faster than PIL on pictures this small."""
    return np.array(Image.fromarray(np.eye(n, dtype=np.float32)).resize((n, side), how))


def shrink(lab: Lab, side: int, how: Image.Resampling = Image.Resampling.BOX) -> Lab:
    """Resize square [h, h, c] floats to [side, side, c]."""
    if lab.shape[0] == side:
        return lab
    matrix = resampler(lab.shape[0], side, how)
    return (matrix @ lab.transpose(2, 0, 1) @ matrix.T).transpose(1, 2, 0).astype(np.float32, copy=False)


def low(lab: Lab) -> Lab:
    """LOW x LOW colours less their mean, so that a change of exposure or white balance hides no copy."""
    cells = shrink(lab, LOW)
    return np.asarray(cells - cells.mean((0, 1)))


def perceptual_hash(lab: Lab) -> np.uint64:
    """One bit for each of the lowest 64 DCT coefficients of lightness: above the median or not (pHash, Zauner 2010)."""
    low = dctn(shrink(lab[..., :1], 32)[..., 0], norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return np.uint64(np.packbits(bits).view(np.uint64)[0])


def hamming(hashes: NDArray[np.uint64], other: np.uint64) -> NDArray[np.int64]:
    """Differing bits between hashes [n] and one hash."""
    return np.asarray(np.bitwise_count(hashes ^ other).astype(np.int64))
