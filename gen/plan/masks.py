"""Masks in pixels: True is redrawn, False is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gen.diffusion import noise

Mask = NDArray[np.bool_]

#: Width of the frame that the paper's outpainting keeps, as a part of the side: 16 of 512 px.
FRAME = 16 / 512
#: The step of the draws that place a random mask; no solver has as many steps.
_DRAW = 1 << 32


def centre(size: int, area: float = 0.25) -> Mask:
    """A centred square with this share of the area (Sagers et al. 2023: a quarter, 256 of 512 px)."""
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


def ellipse(size: int, seed: int, row_id: str) -> Mask:
    """An ellipse of random place and axes, drawn from (seed, id of the plan row)."""
    top, left, height, width = _box(size, seed, row_id)
    y, x = np.mgrid[:size, :size] + 0.5
    away = ((y - top - height / 2) / (height / 2)) ** 2 + ((x - left - width / 2) / (width / 2)) ** 2
    return np.asarray(away <= 1)


def rectangle(size: int, seed: int, row_id: str) -> Mask:
    """A rectangle of random place and sides, drawn from (seed, id of the plan row)."""
    top, left, height, width = (round(v) for v in _box(size, seed, row_id))
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def for_word(word: str, size: int, seed: int, row_id: str, lesion: Mask | None = None) -> Mask:
    """The region a plan's `mask` column names; `lesion` is the parent's own mask at `size`."""
    if word == "lesion":
        assert lesion is not None
        return lesion
    if word == "centre":
        return centre(size)
    return {"ellipse": ellipse, "rectangle": rectangle}[word](size, seed, row_id)


def latent(mask: Mask, factor: int) -> Mask:
    """The latent cells that hold at least one pixel to redraw, [h, w] from [H, W]."""
    h, w = mask.shape[0] // factor, mask.shape[1] // factor
    return np.asarray(mask.reshape(h, factor, w, factor).any(axis=(1, 3)))


def _box(size: int, seed: int, row_id: str) -> tuple[float, float, float, float]:
    """Top, left, height and width; sides between a quarter and three quarters of the image."""
    u = noise.uniform(seed, row_id, _DRAW, 4)
    height, width = (0.25 + 0.5 * u[:2]) * size
    return float(u[2] * (size - height)), float(u[3] * (size - width)), float(height), float(width)
