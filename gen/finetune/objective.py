"""What the network learns: from noisy latents to noise, velocity, the clean latents, or the direction of a flow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from engines.pipeline_spec import PipelineSpec
from gen.diffusion.flow import FlowSchedule
from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.solvers import schedule_of


class Objective(Protocol):
    """The forward process that a pipeline was trained by. clean, noise: [b, C, h, w]; times: [b], as the denoiser's."""

    def timestep(self, u: float) -> float:
        """The time that a uniform number in (0, 1) draws, as in training: whole for diffusion."""

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Latents at these times."""

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should predict, [b, C, h, w]."""

    def weight(self, times: Tensor) -> Tensor:
        """Of the squared error, [b]."""


def objective_of(spec: PipelineSpec, min_snr: float = 0.0) -> Objective:
    """The objective of a pipeline, by its own scheduler at the size of its images.

    Parameters
    ----------
    min_snr
        The largest signal-to-noise ratio that counts (0: none is cut off); for diffusion only.
    """
    schedule = schedule_of(spec)
    return Flow(schedule) if isinstance(schedule, FlowSchedule) else Diffusion(spec.scheduler, min_snr)


class Diffusion:
    """Times are whole and equally likely. min_snr: of Hang et al. 2023 (arXiv 2303.09556), usually 5."""

    def __init__(self, scheduler: Mapping[str, Any], min_snr: float = 0.0) -> None:
        schedule = NoiseSchedule.from_config(scheduler)
        self.alphas_cumprod = torch.from_numpy(schedule.alphas_cumprod)
        self.prediction_type, self.min_snr = schedule.prediction_type, min_snr

    @property
    def timesteps(self) -> int:
        return len(self.alphas_cumprod)

    def timestep(self, u: float) -> int:
        return int(u * self.timesteps)

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        signal, sigma = self.scales(times, clean)
        return signal * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The velocity is that of Salimans and Ho 2022 (arXiv 2202.00512)."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return clean
        signal, sigma = self.scales(times, clean)
        return signal * noise - sigma * clean

    def weight(self, times: Tensor) -> Tensor:
        if not self.min_snr:
            return torch.ones(len(times))
        a = self.alphas_cumprod[times]
        snr = a / (1 - a)
        least = snr.clamp(max=self.min_snr)
        of_error = {"epsilon": snr, "v_prediction": snr + 1, "sample": torch.ones_like(snr)}[self.prediction_type]
        return (least / of_error).float()

    def scales(self, times: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma of the state at these times, [b, 1, 1, 1] each, as `like` is stored."""
        a = self.alphas_cumprod[times.cpu()].reshape(-1, 1, 1, 1)
        return a.sqrt().to(like), (1 - a).sqrt().to(like)


class Flow:
    """Flow matching: noise levels are logit-normal and then shifted, and all errors count alike.

    The density is rf/lognorm(0.00, 1.00) of Esser et al. 2024 (arXiv 2403.03206, sections 3.1 and 5.3.2), which Stable
    Diffusion 3 was trained by. Of FLUX.1 no training was published; tools that tune it use the same density, shifted by
    the size of the image.
    """

    def __init__(self, schedule: FlowSchedule) -> None:
        self.schedule = schedule

    def timestep(self, u: float) -> float:
        sigma = 1 / (1 + math.exp(-NormalDist().inv_cdf(u)))
        return float(self.schedule.shifted(np.asarray(sigma))) * self.schedule.total

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        sigma = (times / self.schedule.total).reshape(-1, 1, 1, 1).to(clean)
        return (1 - sigma) * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return noise - clean

    def weight(self, times: Tensor) -> Tensor:
        return torch.ones(len(times))


def loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over the batch of weight times squared error; weight: [b], not normalised."""
    error = (predicted.float() - target.float()).square().mean((1, 2, 3))
    return torch.mean(error * weight)
