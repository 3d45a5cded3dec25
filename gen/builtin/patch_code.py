"""The latent code of the built-in pipeline: whitened principal components of square patches.

A code that is known before training lets encoder, decoder and UNet be trained each on its own, and its small
components, where the form of a lesion is, count as much as its large ones, where the tone is. A linear decoder already
gives 42 dB; an autoencoder that had to find its own code was at 37 dB after ten minutes (docs/decisions/0003).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dermforge.common import tensor_files
from gen.builtin.data import Images, to_tensor

SAMPLE = 1500  # images that the components are found from: half a million patches


@dataclass(frozen=True)
class PatchCode:
    """mean: of a patch, [3 * size * size]; basis: patch to code, [3 * size * size, channels]."""

    size: int
    mean: Tensor
    basis: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """Images [n, 3, h, w] in [-1, 1] to codes [n, channels, h / size, w / size] of about unit variance."""
        patches = F.pixel_unshuffle(x, self.size).movedim(1, -1)
        return ((patches - self.mean.to(x)) @ self.basis.to(x)).movedim(-1, 1).contiguous()


def fit_code(data: Images, size: int, channels: int, cache: Path | None = None) -> PatchCode:
    """The `channels` largest components of the patches of up to `SAMPLE` images; read from `cache` when it is there."""
    identity = {"phantoms": data.digest, "size": size, "channels": channels}
    if cache is not None and (stored := tensor_files.cached(cache, identity)) is not None:
        return PatchCode(size, **stored)
    images = to_tensor(data.images[:: -(-len(data.images) // SAMPLE)])
    patches = F.pixel_unshuffle(images, size).movedim(1, -1).flatten(0, 2)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()  # else it is the processor's
    basis = (vectors / values.clamp(min=1e-8).sqrt())[:, -channels:].flip(1).contiguous()
    if cache is not None:
        tensor_files.write(cache, {"mean": mean, "basis": basis}, identity)
    return PatchCode(size, mean, basis)
