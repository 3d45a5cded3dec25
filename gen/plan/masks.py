"""Masks in pixels: True is drawn anew, False is kept as it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gen.diffusion import noise

Mask = NDArray[np.bool_]

#: The kept frame of the paper's outpainting, 16 of 512 px, as a part of the side.
FRAME = 16 / 512
#: The step word of the draws that place a random mask, apart from every step of a solver.
_DRAW = 1 << 32


def centre(size: int, area: float = 0.25) -> Mask:
    """A centred square of a part of the area (Sagers et al. 2023: 256 of 512 px, a quarter)."""
    side = round(size * area**0.5)
    start = (size - side) // 2
    mask = np.zeros((size, size), dtype=bool)
    mask[start : start + side, start : start + side] = True
    return mask


def frame(size: int) -> Mask:
    """The border that outpainting keeps from the photograph."""
    width = max(1, round(size * FRAME))
    mask = np.ones((size, size), dtype=bool)
    mask[width:-width, width:-width] = False
    return mask


def ellipse(size: int, seed: int, row: str) -> Mask:
    """An ellipse of random place and axes, drawn from (seed, row)."""
    top, left, height, width = _box(size, seed, row)
    y, x = np.mgrid[:size, :size] + 0.5
    away = ((y - top - height / 2) / (height / 2)) ** 2 + ((x - left - width / 2) / (width / 2)) ** 2
    return np.asarray(away <= 1)


def rectangle(size: int, seed: int, row: str) -> Mask:
    """A rectangle of random place and sides, drawn from (seed, row)."""
    top, left, height, width = (round(v) for v in _box(size, seed, row))
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def for_word(word: str, size: int, seed: int, row: str, lesion: Mask | None = None) -> Mask:
    """The region a plan's `mask` column names; `lesion` is the parent's own mask at `size`."""
    if word == "lesion":
        assert lesion is not None
        return lesion
    if word == "centre":
        return centre(size)
    return {"ellipse": ellipse, "rectangle": rectangle}[word](size, seed, row)


def latent(mask: Mask, factor: int) -> Mask:
    """The latent cells that hold any pixel to be drawn anew, [h, w] from [H, W]."""
    h, w = mask.shape[0] // factor, mask.shape[1] // factor
    return np.asarray(mask.reshape(h, factor, w, factor).any(axis=(1, 3)))


def _box(size: int, seed: int, row: str) -> tuple[float, float, float, float]:
    """Top, left, height and width; sides between a quarter and three quarters of the image."""
    u = noise.uniform(seed, row, _DRAW, 4)
    height, width = (0.25 + 0.5 * u[:2]) * size
    return float(u[2] * (size - height)), float(u[3] * (size - width)), float(height), float(width)
