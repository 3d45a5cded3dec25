"""What the network learns: from noisy latents to noise, velocity or the clean latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gen.diffusion.schedules import NoiseSchedule


class Objective:
    """The forward process of a pipeline's own scheduler, and what its network predicts."""

    def __init__(self, scheduler: Mapping[str, Any]) -> None:
        schedule = NoiseSchedule.from_config(scheduler)
        self.alphas_cumprod = torch.from_numpy(schedule.alphas_cumprod)
        self.prediction_type = schedule.prediction_type

    @property
    def timesteps(self) -> int:
        return len(self.alphas_cumprod)

    def timestep(self, u: float) -> int:
        """The timestep that a uniform number in (0, 1) draws."""
        return int(u * self.timesteps)

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents at these timesteps; clean, noise: [b, C, h, w], timesteps: [b]."""
        signal, sigma = self.scales(timesteps, clean)
        return signal * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network should predict, [b, C, h, w] (v of Salimans and Ho 2022, arXiv 2202.00512)."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return clean
        signal, sigma = self.scales(timesteps, clean)
        return signal * noise - sigma * clean

    def scales(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma of the state at these timesteps, [b, 1, 1, 1] each, as `like` is stored."""
        a = self.alphas_cumprod[timesteps.cpu()].reshape(-1, 1, 1, 1)
        return a.sqrt().to(like), (1 - a).sqrt().to(like)


def loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch of weight times squared error; weight: [b], not normalised."""
    error = (predicted.float() - target.float()).square().mean((1, 2, 3))
    return torch.mean(error * weight)
