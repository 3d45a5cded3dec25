"""Lay a picture over a part of another: the best place, and how alike the two are there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product as product_of

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

from evalsuite.images.privacy.descriptors import SIDE, Lab, shrink

Plane = NDArray[np.float32]
REACH = 0.06  # of the scale: a little more than half of the step between `descriptors.SCALES`
LOW = 16  # cells per side of the pictures that are compared: noise and JPEG blocks average out


@dataclass(frozen=True)
class Match:
    """structure: correlation of detail, up to 1; closeness: -log10 of the mean squared CIELAB difference."""

    structure: float
    closeness: float


def detail(lightness: Plane) -> Plane:
    """The detail of a picture: structures finer than a twelfth of its side and coarser than noise."""
    fine, rough = (_smoother(len(lightness), sigma) for sigma in (0.8, 5.0))
    return (fine @ lightness @ fine.T - rough @ lightness @ rough.T).astype(np.float32, copy=False)


@lru_cache(maxsize=256)
def _smoother(n: int, sigma: float) -> NDArray[np.float32]:
    """A Gaussian filter of n pixels as a matrix [n, n]."""
    return np.asarray(ndimage.gaussian_filter1d(np.eye(n, dtype=np.float32), sigma, axis=0))


class FixedPicture:
    """A training picture, [SIDE, SIDE, 3], prepared so that others can be registered to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = np.asarray(lab, dtype=np.float32)
        self.plane = detail(self.lab[..., 0])
        self.spectrum = fft.rfft2(self.plane)
        self.sums, self.squares = _integral(self.plane), _integral(self.plane**2)


class MovingPicture:
    """A synthetic picture in one orientation, with its detail at every size that is tried."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.low = low(lab)
        self._sized: dict[int, tuple[NDArray[np.complexfloating], float]] = {}

    def sized(self, side: int) -> tuple[NDArray[np.complexfloating], float]:
        """Conjugate spectrum and norm of the detail at a side in pixels."""
        if side not in self._sized:
            plane = detail(shrink(self.lab[..., :1], side, Image.Resampling.BICUBIC)[..., 0])
            plane = plane - plane.mean()
            spectrum = np.conj(fft.rfft2(plane, (SIDE, SIDE)))
            self._sized[side] = spectrum, float(np.sqrt((plane**2).sum())) + 1e-6
        return self._sized[side]


def match(moving: MovingPicture, fixed: FixedPicture, scale: float) -> Match:
    """The moving picture at its best place within the fixed one, near a scale (its side over the fixed one's).

    Every whole side within `REACH` is tried, because a crop at a side that is wrong by one pixel looks no nearer than
    an unrelated image.
    """
    structure = closeness = -10.0
    place = (0, 0, SIDE)
    for side in range(math.ceil(SIDE * (scale - REACH)), min(SIDE, math.floor(SIDE * (scale + REACH))) + 1):
        spectrum, norm = moving.sized(side)
        free = SIDE - side + 1
        product = fft.irfft2(fixed.spectrum * spectrum, (SIDE, SIDE))[:free, :free]
        total = _window(fixed.sums, side)
        variance = np.maximum(_window(fixed.squares, side) - total**2 / side**2, 1e-3)
        correlation = product / (norm * np.sqrt(variance))
        y, x = divmod(int(correlation.argmax()), free)
        closeness = max(closeness, _closeness(moving, fixed, y, x, side))
        if correlation[y, x] > structure:
            structure, place = float(correlation[y, x]), (y, x, side)
    around = (
        _closeness(moving, fixed, *(p + step for p, step in zip(place, steps, strict=True)))
        for steps in product_of((-1, 0, 1), repeat=3)
    )
    return Match(structure, max(closeness, *around))


def _closeness(moving: MovingPicture, fixed: FixedPicture, y: int, x: int, side: int) -> float:
    """-log10 of the mean squared difference from a part of the fixed picture; -10 for a part outside of it."""
    if min(y, x) < 0 or max(y, x) + side > SIDE:
        return -10.0
    difference = moving.low - low(fixed.lab[y : y + side, x : x + side])
    return -float(np.log10((difference**2).mean() + 1e-4))


def low(lab: Lab) -> Lab:
    """LOW x LOW colours less their mean, so that a change of exposure or white balance hides no copy."""
    cells = shrink(lab, LOW)
    return np.asarray(cells - cells.mean((0, 1)))


def _integral(plane: Plane) -> NDArray[np.float64]:
    return np.pad(plane.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _window(integral: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Sums over every window of this side."""
    return integral[side:, side:] - integral[:-side, side:] - integral[side:, :-side] + integral[:-side, :-side]
