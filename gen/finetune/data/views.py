"""One augmented view of an image: crop, flip, colour and mask, a pure function of (seed, id, number of the view)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as colour

from gen.diffusion import noise
from gen.plan.masks import Mask

#: Sagers et al. 2023, where no crop of more than the whole ever fits.
AREA, RATIO = (0.9, 1.0), (0.9, 1.1)


def view(image: NDArray[np.uint8], size: int, seed: int, id: str, number: int, jitter: float = 0.0) -> Tensor:
    """A random resized crop of the image's middle square, flipped left to right half of the time.

    Parameters
    ----------
    image
        uint8 [H, W, 3].
    jitter
        Largest relative change of brightness, contrast and saturation, and turn of hue.

    Returns
    -------
    float32 [3, size, size] in [-1, 1].
    """
    u = noise.uniform(seed, f"view/{id}", number, 9)
    height, width = image.shape[:2]
    side = min(height, width)
    area = side**2 * _between(u[0], *AREA)
    ratio = math.exp(_between(u[1], *map(math.log, RATIO)))
    w, h = min(side, math.sqrt(area * ratio)), min(side, math.sqrt(area / ratio))
    left, top = (width - side) / 2 + u[2] * (side - w), (height - side) / 2 + u[3] * (side - h)
    crop = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, (left, top, left + w, top + h))
    pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1).float() / 255
    if u[4] < 0.5:
        pixels = pixels.flip(2)
    if jitter:
        amount = [_between(x, -jitter, jitter) for x in u[5:]]
        pixels = colour.adjust_brightness(pixels, 1 + amount[0])
        pixels = colour.adjust_contrast(pixels, 1 + amount[1])
        pixels = colour.adjust_saturation(pixels, 1 + amount[2])
        pixels = colour.adjust_hue(pixels, amount[3])
    return pixels * 2 - 1


def mask(size: int, seed: int, id: str, number: int) -> Mask:
    """The region to fill in, [size, size]: a rectangle or an ellipse, sides up to the whole, as in the paper."""
    u = noise.uniform(seed, f"mask/{id}", number, 5)
    height, width = u[:2] * size
    y, x = np.mgrid[:size, :size] + 0.5
    away_y = np.abs(y - (u[2] * (size - height) + height / 2)) / (height / 2)
    away_x = np.abs(x - (u[3] * (size - width) + width / 2)) / (width / 2)
    return np.asarray(away_y**2 + away_x**2 <= 1 if u[4] < 0.5 else np.maximum(away_y, away_x) <= 1)


def _between(u: float, low: float, high: float) -> float:
    return float(low + u * (high - low))
