"""How images become a model's input: augmented and normalised for training, only normalised for evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from evalsuite.training.model import normaliser
from evalsuite.training.recipe import Augment

_CHUNK = 4  # images that share one RandAugment draw: a draw for each image costs as much as training
Prepare = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Preprocessing:
    """What turns a batch of images uint8 [n, 3, h, w], or of features [n, d], into the model's input."""

    train: Prepare
    evaluate: Prepare


#: Features are the model's input as they are.
OF_FEATURES = Preprocessing(lambda x: x, lambda x: x)


def of_images(model: nn.Module, kind: Augment, device: torch.device) -> Preprocessing:
    """The preprocessing of a timm model's images."""
    mean, std = (t.to(device) for t in normaliser(model))
    return Preprocessing(lambda images: (augment(images, kind) - mean) / std, evaluation_input(model, device))


def evaluation_input(model: nn.Module, device: torch.device) -> Prepare:
    """Images uint8 [n, 3, h, w] to what a timm model expects, without augmentation."""
    mean, std = (t.to(device) for t in normaliser(model))
    return lambda images: (images.float() / 255 - mean) / std


def augment(images: Tensor, kind: Augment) -> Tensor:
    """Images uint8 [n, 3, h, w] to float in [0, 1], augmented by draws from torch's global generator.

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
