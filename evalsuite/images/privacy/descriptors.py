"""Image descriptors by which copies are recognised: a small CIELAB picture, its coarse views, a perceptual hash."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from dermforge.common.skin_tone import srgb_to_lab
from evalsuite.images.features.extractors import resized

SIDE = 64  # pixels of the small picture
COARSE = 8  # cells per side of a coarse view
SCALES = (1.0, 0.9, 0.8, 0.7)  # parts of a training image that a synthetic one may have been cropped to
Lab = NDArray[np.float32]  # [SIDE, SIDE, 3]


def _boxes() -> list[tuple[int, int, int]]:
    found = []
    for scale in SCALES:
        side = round(SIDE * scale)
        starts = np.linspace(0, SIDE - side, round((1 - scale) * 10) + 1).round().astype(int)
        found += [(int(y), int(x), side) for y in starts for x in starts]
    return found


#: Top, left and side of the parts of a training image that are compared coarsely.
BOXES = _boxes()


def small_lab(image: NDArray[np.uint8]) -> Lab:
    """CIELAB of an image at SIDE x SIDE."""
    return srgb_to_lab(resized(image, SIDE).astype(np.float32) / 255).astype(np.float32)


def turned(lab: Lab) -> tuple[Lab, ...]:
    """As it is, mirrored, upside down and turned by 180 degrees."""
    return lab, lab[:, ::-1], lab[::-1], lab[::-1, ::-1]


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


def coarse(lab: Lab) -> NDArray[np.float32]:
    """Unit vector of a view: COARSE x COARSE colours less their mean, [COARSE^2 * 3]."""
    cells = shrink(lab, COARSE)
    cells = (cells - cells.mean((0, 1))).ravel()
    return np.asarray(cells / max(float(np.linalg.norm(cells)), 1e-3))


def views(lab: Lab) -> NDArray[np.float32]:
    """The coarse vectors of all parts of a training image, [len(BOXES), COARSE^2 * 3]."""
    return np.stack([coarse(lab[y : y + side, x : x + side]) for y, x, side in BOXES])


def perceptual_hash(lab: Lab) -> np.uint64:
    """One bit for each of the lowest 64 DCT coefficients of lightness: above the median or not (pHash, Zauner 2010)."""
    low = dctn(shrink(lab[..., :1], 32)[..., 0], norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return np.uint64(np.packbits(bits).view(np.uint64)[0])


def hamming(hashes: NDArray[np.uint64], other: np.uint64) -> NDArray[np.int64]:
    """Differing bits between hashes [n] and one hash."""
    return np.asarray(np.bitwise_count(hashes ^ other).astype(np.int64))
