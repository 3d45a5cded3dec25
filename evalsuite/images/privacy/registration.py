"""Lay a picture over a part of another, turned, mirrored, cropped or stretched, and say how alike the two are there.

The place is refined from a rough one by the inverse compositional Lucas-Kanade method (Baker and Matthews 2004) on
lightness less its mean over its standard deviation, so that light and contrast play no part (as in ECC, Evangelidis
2008). Many pairs are registered at once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

#: Blur in pixels of the small picture, points per side, and steps: first the rough shape, then the detail.
LEVELS = ((5.0, 16, 10), (2.0, 32, 8))
STRETCH = 1.4  # by which a place may be refined, in either direction
OVERLAP = 0.4  # least share of the picture that must lie on the other
CELL = 4  # pixels per cell of the colours that are compared: noise and JPEG blocks average out
FINE, ROUGH = 1.0, 3.0  # blurs in pixels between which detail lies
EDGE = 0.04  # of the half side: pixels this near to the edge of the other picture are not compared
UNLIKE = -10.0


def align(moving: Tensor, fixed: Tensor, start: Tensor) -> Tensor:
    """The best place of each moving picture on its fixed one, near `start`.

    Parameters
    ----------
    moving, fixed
        Lightness, float [p, side, side].
    start
        Affine maps [p, 2, 3] from the moving to the fixed picture, both from -1 to 1.
    """
    place, back = start, torch.linalg.inv(start[:, :, :2])
    for sigma, n, steps in LEVELS:
        picture = functional.interpolate(blurred(moving, sigma)[:, None], (n, n), mode="area")[:, 0]
        target, margin = blurred(fixed, sigma)[:, None], sigma / moving.shape[-1] * 2
        slopes, picture = _slopes(picture), picture.flatten(1)
        best, place, at = torch.full((len(moving),), -2.0), place.clone(), place
        for step in range(steps + 1):
            seen, inside = warped(target, at, n, margin)
            weight = inside.flatten(1)
            a, a_size = _centred(picture, weight)
            b, b_size = _centred(seen[:, 0].flatten(1), weight)
            likeness = (a * b).sum(1) / (a_size * b_size)
            allowed = _plausible(at[:, :, :2] @ back) & (weight.mean(1) > OVERLAP)
            better = allowed & (likeness > best)
            best, place = torch.where(better, likeness, best), torch.where(better[:, None, None], at, place)
            if step < steps:
                at = torch.where(allowed[:, None, None], at, place)
                steepest = slopes * (weight / a_size[:, None])[:, None]
                at = _stepped(at, steepest, b / b_size[:, None] - a / a_size[:, None])
    return place


def compare(moving: Tensor, fixed: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """How alike the pictures are where they overlap: structure and closeness, each [p].

    Parameters
    ----------
    moving, fixed
        CIELAB, float [p, 3, side, side].
    place
        Affine maps [p, 2, 3] from the moving to the fixed picture.

    Returns
    -------
    structure
        Correlation of detail, from -1 to 1.
    closeness
        -log10 of the mean squared CIELAB difference of cells, less the mean difference: a change of exposure or of
        white balance hides no copy.
    """
    seen, inside = warped(fixed, place, moving.shape[-1], EDGE)
    a, b = _detail(moving[:, 0], inside).flatten(1), _detail(seen[:, 0], inside).flatten(1)
    (a, a_size), (b, b_size) = _centred(a, inside.flatten(1)), _centred(b, inside.flatten(1))
    structure = (a * b).sum(1) / (a_size * b_size)
    whole = (functional.avg_pool2d(inside[:, None], CELL) > 0.99).float().flatten(2)
    difference = functional.avg_pool2d(moving - seen, CELL).flatten(2)
    cells = whole.sum(2).clamp(min=1)
    difference = (difference - ((difference * whole).sum(2) / cells)[..., None]) * whole
    closeness = -torch.log10((difference**2).sum((1, 2)) / cells[:, 0] / 3 + 1e-4)
    enough = inside.mean((1, 2)) > OVERLAP * (1 - EDGE)
    return torch.where(enough, structure, -1.0), torch.where(enough & (cells[:, 0] > 1), closeness, UNLIKE)


def warped(fixed: Tensor, place: Tensor, n: int, margin: float) -> tuple[Tensor, Tensor]:
    """The fixed pictures [p, c, h, w] as the moving ones would show them [p, c, n, n], and which points lie inside."""
    points = _points(n) @ place[:, :, :2].transpose(1, 2) + place[:, None, :, 2]
    inside = (points.abs() <= 1 - margin).all(-1).float().view(-1, n, n)
    seen = functional.grid_sample(fixed, points.view(-1, n, n, 2), padding_mode="border", align_corners=False)
    return seen, inside


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Pictures [..., n, n] through a Gaussian filter."""
    matrix = _smoother(pictures.shape[-1], sigma)
    return matrix @ pictures @ matrix.T


@lru_cache(maxsize=16)
def _smoother(n: int, sigma: float) -> Tensor:
    """A Gaussian filter of n pixels as a matrix [n, n]."""
    return torch.from_numpy(ndimage.gaussian_filter1d(np.eye(n, dtype=np.float32), sigma, axis=0, mode="nearest"))


@lru_cache(maxsize=8)
def _points(n: int) -> Tensor:
    """Centres (x, y) of the pixels of a picture from -1 to 1, [n * n, 2]."""
    line = (torch.arange(n) + 0.5) / n * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.ravel(), y.ravel()], -1)


def _slopes(picture: Tensor) -> Tensor:
    """How each pixel changes with each of the six numbers of an affine map, [p, 6, n * n]."""
    n = picture.shape[-1]
    down, across = (slope.flatten(1) * n / 2 for slope in torch.gradient(picture, dim=(1, 2)))
    x, y = _points(n).T
    return torch.stack([across * x, across * y, across, down * x, down * y, down], 1)


def _centred(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Values [p, k] less their mean where the weight is 1, and their norm [p]."""
    mean = (values * weight).sum(1) / weight.sum(1).clamp(min=1)
    values = (values - mean[:, None]) * weight
    return values, torch.linalg.norm(values, dim=1) + 1e-3


def _stepped(at: Tensor, slopes: Tensor, difference: Tensor) -> Tensor:
    """One Gauss-Newton step of the maps."""
    square = slopes @ slopes.transpose(1, 2)
    damping = 1e-3 * square.diagonal(dim1=1, dim2=2).mean(1) + 1e-6
    change = torch.linalg.solve(square + damping[:, None, None] * torch.eye(6), slopes @ difference[:, :, None])
    move = torch.eye(3).repeat(len(at), 1, 1)
    move[:, :2] += change.view(-1, 2, 3).clamp(-0.3, 0.3)
    stepped: Tensor = at @ torch.linalg.inv(move)
    return stepped


def _plausible(change: Tensor) -> Tensor:
    """Whether maps [p, 2, 2] neither mirror nor stretch or shrink any direction beyond `STRETCH`."""
    area, total = torch.linalg.det(change), (change**2).sum((1, 2))
    spread = (total**2 - 4 * area**2).clamp(min=0).sqrt()
    longest, shortest = ((total + spread) / 2).sqrt(), ((total - spread) / 2).clamp(min=0).sqrt()
    plausible: Tensor = (area > 0) & (longest < STRETCH) & (shortest > 1 / STRETCH)
    return plausible


def _detail(lightness: Tensor, inside: Tensor) -> Tensor:
    """Structures between two blurs; points outside are filled with the mean."""
    mean = (lightness * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    filled = torch.where(inside > 0, lightness, mean[:, None, None])
    return blurred(filled, FINE) - blurred(filled, ROUGH)
