"""One augmented view of an image: crop, flip, colour and mask, a pure function of (seed, id, number of the view)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as colour

from gen.diffusion import noise
from gen.plan.masks import Mask

#: Sagers et al. 2023; a crop is never larger than the image.
AREA, RATIO = (0.9, 1.0), (0.9, 1.1)


@dataclass(frozen=True)
class Views:
    """What decides the views of a set of images.

    Attributes
    ----------
    size
        Side in pixels.
    jitter
        Largest relative change of brightness, contrast and saturation, and of the hue's turn.
    """

    size: int
    seed: int
    jitter: float = 0.0

    def view(self, image: NDArray[np.uint8], id: str, number: int) -> Tensor:
        """A random resized crop of the image's middle square, flipped left to right half of the time.

        Parameters
        ----------
        image
            uint8 [H, W, 3].

        Returns
        -------
        float32 [3, size, size] in [-1, 1].
        """
        u = noise.uniform(self.seed, f"view/{id}", number, 9)
        height, width = image.shape[:2]
        side = min(height, width)
        area = side**2 * _between(u[0], *AREA)
        ratio = math.exp(_between(u[1], *map(math.log, RATIO)))
        w, h = min(side, math.sqrt(area * ratio)), min(side, math.sqrt(area / ratio))
        left, top = (width - side) / 2 + u[2] * (side - w), (height - side) / 2 + u[3] * (side - h)
        box, shape = (left, top, left + w, top + h), (self.size, self.size)
        crop = Image.fromarray(image).resize(shape, Image.Resampling.BICUBIC, box)
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1).float() / 255
        if u[4] < 0.5:
            pixels = pixels.flip(2)
        if self.jitter:
            amount = [_between(x, -self.jitter, self.jitter) for x in u[5:]]
            pixels = colour.adjust_brightness(pixels, 1 + amount[0])
            pixels = colour.adjust_contrast(pixels, 1 + amount[1])
            pixels = colour.adjust_saturation(pixels, 1 + amount[2])
            pixels = colour.adjust_hue(pixels, amount[3])
        return pixels * 2 - 1

    def mask(self, id: str, number: int) -> Mask:
        """The region to fill in, [size, size]: a rectangle or an ellipse, sides up to the whole, as in the paper."""
        u = noise.uniform(self.seed, f"mask/{id}", number, 5)
        height, width = u[:2] * self.size
        y, x = np.mgrid[: self.size, : self.size] + 0.5
        away_y = np.abs(y - (u[2] * (self.size - height) + height / 2)) / (height / 2)
        away_x = np.abs(x - (u[3] * (self.size - width) + width / 2)) / (width / 2)
        return np.asarray(away_y**2 + away_x**2 <= 1 if u[4] < 0.5 else np.maximum(away_y, away_x) <= 1)


def _between(u: float, low: float, high: float) -> float:
    return float(low + u * (high - low))
