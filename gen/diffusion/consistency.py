"""Solvers of consistency models, which jump to clean latents and add fresh noise: LCM and TCD."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.steps import StepTable, column, first_order


def lcm(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """Multistep consistency sampling of a latent consistency model (Luo et al. 2023, arXiv 2310.04378).

    All steps are taken, from a start that `strength` lowers, as in diffusers' LatentConsistencyModelImg2ImgPipeline.
    """
    t = _timesteps(schedule, steps, strength, "lcm")
    alpha, sigma = np.sqrt(schedule.alphas_cumprod[t]), np.sqrt(1 - schedule.alphas_cumprod[t])
    scaled = t * schedule.consistency_scaling
    skip, out = 0.25 / (scaled**2 + 0.25), scaled / np.sqrt(scaled**2 + 0.25)
    alpha_after, sigma_after = np.append(alpha[1:], 1.0), np.append(sigma[1:], 0.0)
    c = first_order(alpha, sigma, alpha_after, sigma_after, schedule.prediction_type)
    c[:, column("x<base")], c[:, column("x<d0")] = alpha_after * skip, alpha_after * out
    c[:, column("x<noise")] = sigma_after
    return StepTable(t.astype(float), np.append(alpha, 1.0), np.append(sigma, 0.0), c)


def tcd(schedule: NoiseSchedule, steps: int, taken: int, strength: float, fresh: float = 0.3) -> StepTable:
    """Strategic stochastic sampling of trajectory consistency distillation (Zheng et al. 2024, arXiv 2402.19159).

    Parameters
    ----------
    fresh
        gamma of the paper, eta of diffusers, in [0, 1]: a step goes down to (1 - fresh) of the next timestep, and
        fresh noise brings it up again. The last step goes to timestep 0 and gets none.
    """
    t = _timesteps(schedule, steps, 1.0, "tcd")[-taken:]
    after = np.append(t[1:], 0)
    below = np.floor(np.float32(1 - fresh) * after.astype(np.float32)).astype(int)  # in single precision, as diffusers
    values = schedule.alphas_cumprod
    alpha, sigma, alpha_below, sigma_below = (
        np.sqrt(v) for v in (values[t], 1 - values[t], values[below], 1 - values[below])
    )
    kept = np.sqrt(values[after] / values[below])
    c = first_order(alpha, sigma, kept * alpha_below, kept * sigma_below, schedule.prediction_type)
    c[:, column("x<noise")] = np.sqrt(1 - kept**2)
    end = values[after[-1:]]
    return StepTable(t.astype(float), np.append(alpha, np.sqrt(end)), np.append(sigma, np.sqrt(1 - end)), c)


def _timesteps(schedule: NoiseSchedule, steps: int, strength: float, name: str) -> NDArray[np.int64]:
    """Timesteps among those of the teacher, highest first, whole numbers [steps]."""
    teacher = schedule.consistency_steps
    grid = np.arange(1, int(teacher * strength) + 1) * (schedule.total // teacher) - 1
    if len(grid) < steps:
        raise UserError(f"{steps} steps of {name} at strength {strength}; it has at most {len(grid)} there")
    return np.asarray(grid[::-1][np.floor(np.linspace(0, len(grid), steps, endpoint=False)).astype(int)])
