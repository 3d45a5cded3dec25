"""Augmentation of whole batches, drawn from torch's global generator (seeded for each step by the loop)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from evalsuite.training.recipe import Augment

_CHUNK = 4  # images that share one RandAugment draw: a draw for each image costs as much as training


def augment(images: Tensor, kind: Augment) -> Tensor:
    """Images uint8 [n, 3, h, w] to float in [0, 1], augmented.

    `light`: any turn and flip (lesions have no up), a little scale and shift, a little light and colour cast.
    `randaugment`: Cubuk 2020, two operations of magnitude 9, after a flip.
    """
    if kind == "randaugment":
        images = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)
        operation = v2.RandAugment(num_ops=2, magnitude=9)
        return torch.cat([operation(part) for part in images.split(_CHUNK)]).float() / 255
    pixels = images.float() / 255
    return _light(pixels) if kind == "light" else pixels


def _light(pixels: Tensor) -> Tensor:
    n = len(pixels)
    angle, scale = torch.rand(n) * 2 * torch.pi, torch.empty(n).uniform_(0.85, 1.15)
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * scale * mirror, -angle.sin() * scale
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin() * scale * mirror, angle.cos() * scale
    matrix[:, :, 2] = torch.empty(n, 2).uniform_(-0.1, 0.1)
    grid = F.affine_grid(matrix.to(pixels.device), list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    gain, cast = torch.empty(n, 1, 1, 1).uniform_(0.9, 1.1), torch.empty(n, 3, 1, 1).uniform_(-0.03, 0.03)
    return (moved * gain.to(moved) + cast.to(moved)).clamp(0, 1)
