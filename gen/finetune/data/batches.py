"""What each step learns from, a pure function of (seed, step): images, views, noise, timesteps, prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gen.diffusion import noise
from gen.finetune.data.latents import Latents
from gen.finetune.objective import Objective, loss


@dataclass(frozen=True)
class LatentSource:
    """Images to learn from: their cached views, the number of each image's prompt, and the weight of their loss."""

    name: str
    latents: Latents
    prompt: NDArray[np.int64]
    weight: float = 1.0

    def at(self, sample: int, seed: int) -> tuple[int, int]:
        """Image and view of the run's sample-th draw: every image once in an epoch, and each epoch in another order."""
        epoch, place = divmod(sample, len(self.prompt))
        keys = noise.bits(seed, f"order/{self.name}", epoch, len(self.prompt))
        return int(np.argsort(keys, kind="stable")[place]), epoch % self.latents.n_views


@dataclass(frozen=True)
class Batch:
    """noisy: [b, C or 2C + 1, h, w]; target: [b, C, h, w]; timesteps, prompt, weight: [b].

    `chance`, [b], is a uniform number in (0, 1) for what the network's own loss draws.
    """

    noisy: Tensor
    target: Tensor
    timesteps: Tensor
    prompt: Tensor
    weight: Tensor
    chance: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(v.to(device) for v in vars(self).values()))


@dataclass(frozen=True)
class Batches:
    """empty: the number of the empty prompt."""

    sources: Sequence[LatentSource]
    objective: Objective
    seed: int
    batch: int
    drop_prompt: float
    empty: int

    def part(self, step: int, positions: range) -> Batch:
        """Some positions of a step's batch, out of `batch` for each source."""
        return _stack([self._one(source, step * self.batch + i) for i in positions for source in self.sources])

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The mean over the images of each source, summed over the sources (as DreamBooth adds its prior)."""
        predicted: Tensor = network(batch.noisy, batch.timesteps, batch.prompt)
        return loss(predicted, batch.target, batch.weight) * len(self.sources)

    def _one(self, source: LatentSource, sample: int) -> Batch:
        image, view = source.at(sample, self.seed)
        cached = source.latents.cached(image, view)
        key = f"{source.name}/{sample}"
        u = noise.uniform(self.seed, f"choice/{key}", 0, 3)
        spread, eps = (torch.from_numpy(noise.normal(self.seed, key, k, cached.mean.shape)) for k in (0, 1))
        clean = (cached.mean + cached.std * spread)[None]
        timesteps = torch.tensor([self.objective.timestep(float(u[0]))])
        noisy = self.objective.noised(clean, eps[None], timesteps)
        if cached.mask is not None and cached.masked is not None:
            noisy = torch.cat([noisy, cached.mask[None], cached.masked[None]], dim=1)
        prompt = self.empty if u[1] < self.drop_prompt else int(source.prompt[image])
        return Batch(
            noisy,
            self.objective.target(clean, eps[None], timesteps),
            timesteps,
            torch.tensor([prompt]),
            source.weight * self.objective.weight(timesteps),
            torch.tensor([u[2]], dtype=torch.float32),
        )


def _stack(batches: Sequence[Batch]) -> Batch:
    return Batch(*(torch.cat(parts) for parts in zip(*(vars(one).values() for one in batches), strict=True)))
