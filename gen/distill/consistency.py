"""Latent consistency distillation (Luo et al. 2023, arXiv 2310.04378): its timesteps, solver and loss.

Formulas and constants are those of diffusers' `train_lcm_distill_sd_wds.py`. The boundary condition is that of its
LCMScheduler, which samples the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gen.finetune.objective import Diffusion

Weighting = Literal["uniform", "noise"]
#: sigma_data of the boundary condition (Song et al. 2023, arXiv 2303.01469); LCMScheduler has it fixed.
SIGMA_DATA = 0.5
#: What LCMScheduler multiplies a timestep by in the boundary condition, by default.
TIMESTEP_SCALING = 10.0


class ConsistencyObjective(Diffusion):
    """The forward process at the timesteps where the teacher's solver stops.

    Attributes
    ----------
    grid
        Those timesteps, lowest first: every k-th one of training, up to the last.
    interval
        Training timesteps that one step of the solver skips.
    weighting
        Of the distance at a timestep: uniform, as in the paper, or noise, one over the share of noise in the variance
        there (its mean over the grid is 1). The last step of a student, at little noise, decides the detail of an
        image, and its distances are small beside the others (docs/decisions/0056).
    """

    def __init__(self, scheduler: Mapping[str, Any], teacher_steps: int, weighting: Weighting = "uniform") -> None:
        super().__init__(scheduler)
        self.interval = self.timesteps // teacher_steps
        self.grid = np.arange(1, teacher_steps + 1) * self.interval - 1
        self.weighting = weighting

    def timestep(self, u: float) -> int:
        """One of the grid."""
        return int(self.grid[int(u * len(self.grid))])

    def weight(self, times: Tensor) -> Tensor:
        """Of the distance at these timesteps of the grid, [b]."""
        if self.weighting == "uniform":
            return torch.ones(len(times))
        noise = 1 - self.alphas_cumprod
        return (1 / noise[times] / (1 / noise[self.grid]).mean()).float()

    def before(self, timesteps: Tensor) -> Tensor:
        """The timesteps that one step of the solver leads to, [b]; the last one leads to 0."""
        return (timesteps - self.interval).clamp(min=0)

    def clean(self, out: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """The clean latents that a prediction means, [b, C, h, w]."""
        signal, sigma = self.scales(timesteps, noisy)
        if self.prediction_type == "epsilon":
            return (noisy - sigma * out) / signal
        return out if self.prediction_type == "sample" else signal * noisy - sigma * out

    def noise(self, out: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """The noise that a prediction means, [b, C, h, w]."""
        signal, sigma = self.scales(timesteps, noisy)
        if self.prediction_type == "epsilon":
            return out
        return (noisy - signal * out) / sigma if self.prediction_type == "sample" else signal * out + sigma * noisy

    def solved(self, out: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """One step of DDIM (Song et al. 2020, arXiv 2010.02502) from `timesteps` to `before` them, [b, C, h, w]."""
        signal, sigma = self.scales(self.before(timesteps), noisy)
        return signal * self.clean(out, noisy, timesteps) + sigma * self.noise(out, noisy, timesteps)

    def consistent(self, out: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """The consistency function, [b, C, h, w]: the identity where there is no noise, whatever is predicted."""
        scaled = (timesteps.to(noisy) * TIMESTEP_SCALING).reshape(-1, 1, 1, 1)
        skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
        return skip * noisy + scaled / (scaled**2 + SIGMA_DATA**2).sqrt() * self.clean(out, noisy, timesteps)


def pseudo_huber(predicted: Tensor, target: Tensor, c: float) -> Tensor:
    """sqrt(d^2 + c^2) - c of every element's difference d, the mean of each image, [b] (arXiv 2310.14189)."""
    distance = (predicted.float() - target.float()).square()
    return (torch.sqrt(distance + c**2) - c).mean((1, 2, 3))
