"""Training images of the built-in pipeline: drawn once, kept as one array."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermforge.common import processes, tensor_files
from dermforge.common.progress import Ticker, no_tick
from dermforge.common.skin_tone import TONE_GROUPS
from gen.builtin.model import SIZE
from gen.phantoms import CLASSES, draw

CELLS = [(c, g) for c in CLASSES for g in TONE_GROUPS]


@dataclass(frozen=True)
class Images:
    """images: uint8 [n, size, size, 3]."""

    images: NDArray[np.uint8]

    @cached_property
    def digest(self) -> str:
        """sha256 of what everything that is learnt from them depends on."""
        return hashlib.sha256(self.images.tobytes()).hexdigest()


@dataclass(frozen=True)
class Phantoms(Images):
    """cells: index into `CELLS`, [n]; ita: degrees, [n]."""

    cells: NDArray[np.int64]
    ita: NDArray[np.float64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Position in `CLASSES`, [n]."""
        return self.cells // len(TONE_GROUPS)

    @cached_property
    def digest(self) -> str:
        """sha256 of images and cells."""
        return hashlib.sha256(self.images.tobytes() + self.cells.tobytes()).hexdigest()


def _draw_round(seed: int, size: int) -> list[tuple[NDArray[np.uint8], float]]:
    drawn = [draw(c, g, seed, size) for c, g in CELLS]
    return [(p.image, float(p.params["ita"])) for p in drawn]


def phantoms(
    per_cell: int, first_seed: int, cache: Path | None = None, size: int = SIZE, tick: Ticker = no_tick
) -> Phantoms:
    """`per_cell` phantoms of every cell with seeds from `first_seed`; read from `cache` when it is there."""
    identity = {"per_cell": per_cell, "first_seed": first_seed, "size": size}
    if cache is not None and (stored := tensor_files.cached(cache, identity)) is not None:
        return Phantoms(**{name: value.numpy() for name, value in stored.items()})
    seeds = range(first_seed, first_seed + per_cell)
    with processes.pool() as pool:
        drawn = []
        for one in pool.map(partial(_draw_round, size=size), seeds, chunksize=4):
            drawn += one
            tick()
    cells = np.tile(np.arange(len(CELLS)), per_cell)
    result = Phantoms(np.stack([image for image, _ in drawn]), cells, np.array([angle for _, angle in drawn]))
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        tensor_files.write(cache, {name: torch.from_numpy(value) for name, value in vars(result).items()}, identity)
    return result


def to_tensor(images: NDArray[np.uint8], device: torch.device | None = None) -> Tensor:
    """uint8 [n, h, w, 3] to float [n, 3, h, w] in [-1, 1]."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def turned(x: Tensor) -> Tensor:
    """A batch mirrored and turned at random, [n, c, h, w]: phantoms have no up or down."""
    for axis in (2, 3):
        if torch.rand(()) < 0.5:
            x = x.flip(axis)
    return x.transpose(2, 3).contiguous() if torch.rand(()) < 0.5 else x
