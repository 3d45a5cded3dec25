"""Solvers that go below the next noise level and add fresh noise to come back to it."""

from __future__ import annotations

import numpy as np

from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.steps import StepTable, column, first_order


def euler_ancestral(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """Euler with the fresh noise of ancestral sampling (k-diffusion's `sample_euler_ancestral`, eta 1)."""
    grid = schedule.euler_grid(steps).last(taken)
    alpha, sigma, alpha_after = grid.alphas[:-1], grid.sigmas[:-1], grid.alphas[1:]
    level, level_after = sigma / alpha, grid.sigmas[1:] / alpha_after
    up = level_after * np.sqrt(level**2 - level_after**2) / level
    down = np.sqrt(level_after**2 - up**2)
    c = first_order(alpha, sigma, alpha_after, alpha_after * down, grid.prediction)
    c[:, column("x<noise")] = alpha_after * up
    return StepTable(grid.timesteps, grid.alphas, grid.sigmas, c, grid.start_scale)
