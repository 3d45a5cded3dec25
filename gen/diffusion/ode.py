"""Solvers of the probability-flow ODE, each a function from a schedule and a number of steps to a table."""

from __future__ import annotations

import numpy as np

from gen.diffusion.flow import FlowSchedule
from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.spacing import Array, Grid
from gen.diffusion.steps import StepTable, column, first_order


def ddim(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """DDIM, eta 0 (Song et al. 2020, arXiv 2010.02502, eq. 12)."""
    t = schedule.timesteps(steps, short=False)[-taken:].astype(int)
    before = t - schedule.total // steps  # as diffusers: not always the next entry of the list
    values = schedule.alphas_cumprod
    now, after = values[t], np.where(before >= 0, values[np.maximum(before, 0)], schedule.final_alpha_cumprod)
    alpha, sigma, alpha_after, sigma_after = (np.sqrt(v) for v in (now, 1 - now, after, 1 - after))
    c = first_order(alpha, sigma, alpha_after, sigma_after, schedule.prediction_type)
    return StepTable(t.astype(float), np.append(alpha, alpha_after[-1]), np.append(sigma, sigma_after[-1]), c)


def euler(schedule: NoiseSchedule | FlowSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """Euler on the ODE in sigma (Karras et al. 2022, arXiv 2206.00364, algorithm 1), or on that of a flow."""
    grid = schedule.euler_grid(steps).last(taken)
    return _table(grid, _first_order(grid))


def heun(schedule: NoiseSchedule | FlowSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """Heun on the same ODEs (Karras et al. 2022, algorithm 1 without churn): 2 taken - 1 rows.

    A step is two rows: Euler's, and from the same start (`base`) the mean of the slopes at both ends. The last step,
    to where no noise is left, is Euler's.
    """
    grid = schedule.euler_grid(steps).last(taken)
    at = np.arange(1, 2 * taken) // 2  # the grid's step at which the denoiser is called in each row: 0 1 1 2 2 ...
    twice = Grid(
        grid.timesteps[at], np.append(grid.alphas[at], grid.alphas[-1]), np.append(grid.sigmas[at], grid.sigmas[-1]),
        grid.prediction, grid.start_scale,
    )  # fmt: skip
    first = _first_order(grid)
    c = np.zeros((len(at), first.shape[1]))
    c[0::2] = first[at[0::2]]
    # The ODE of a diffusion is in x / alpha and sigma / alpha, that of a flow in x and sigma.
    scale = np.ones(taken) if isinstance(schedule, FlowSchedule) else grid.alphas[:-1]
    level = grid.sigmas[:-1] / scale
    second, (before, after) = c[1::2], (level[:-1], level[1:])
    second[:, : column("base<x")] = first[1:, : column("base<x")]
    second[:, column("base<base")] = 1
    second[:, column("x<base")] = first[:-1, column("x<base")]
    second[:, column("x<d0")] = scale[1:] * (before - after) / (2 * after)
    second[:, column("x<d1")] = scale[1:] * (before - after) * (1 / before - 1 / (2 * after))
    return _table(twice, c)


def dpmsolver(schedule: NoiseSchedule | FlowSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022, arXiv 2211.01095, algorithm 2)."""
    grid = schedule.dpmsolver_grid(steps).last(taken)
    alpha, sigma, lam = grid.alphas, grid.sigmas, grid.log_snr
    c = _first_order(grid)
    for i in range(1, taken - 1):  # the first and the last step stay of first order
        h, h0 = lam[i + 1] - lam[i], lam[i] - lam[i - 1]
        gain = -alpha[i + 1] * np.expm1(-h)
        c[i, column("x<base")] = sigma[i + 1] / sigma[i]
        c[i, column("x<d0")] = gain * (1 + 0.5 * h / h0)
        c[i, column("x<d1")] = -gain * 0.5 * h / h0
    return _table(grid, c)


def unipc(schedule: NoiseSchedule | FlowSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """UniPC of order 2, B2(h), predicting the clean latents (Zhao et al. 2023, arXiv 2302.04867)."""
    grid = schedule.unipc_grid(steps).last(taken)
    alpha, sigma, lam = grid.alphas, grid.sigmas, grid.log_snr
    c = _first_order(grid)
    order = [min(2, i + 1, taken - i) for i in range(taken)]
    for i in range(1, taken):
        if order[i] == 2:
            ratio = (lam[i - 1] - lam[i]) / (lam[i + 1] - lam[i])
            gain = alpha[i + 1] * np.expm1(lam[i] - lam[i + 1])
            c[i, column("x<base")] = sigma[i + 1] / sigma[i]
            c[i, column("x<d0")] = -gain * (1 - 0.5 / ratio)
            c[i, column("x<d1")] = -gain * 0.5 / ratio
        steps_back = lam[i] - lam[i - 1], lam[i - 2] - lam[i - 1]
        _correct(c[i], order[i - 1], *steps_back, alpha[i], sigma[i] / sigma[i - 1])
    return _table(grid, c)


def _first_order(grid: Grid) -> Array:
    return first_order(grid.alphas[:-1], grid.sigmas[:-1], grid.alphas[1:], grid.sigmas[1:], grid.prediction)


def _table(grid: Grid, coefficients: Array) -> StepTable:
    return StepTable(grid.timesteps, grid.alphas, grid.sigmas, coefficients, grid.start_scale)


def _correct(row: Array, order: int, h: float, h_before: float, alpha: float, keep: float) -> None:
    """UniC: redo the last step from its start, now knowing the prediction at its end."""
    grow = np.expm1(-h)  # B2(h)
    last, extra = 0.5, 0.0
    if order == 2:
        ratio = h_before / h
        phi2 = grow / -h - 1
        phi3 = phi2 / -h - 0.5
        b = np.array([phi2, 2 * phi3]) / grow
        extra, last = np.linalg.solve(np.array([[1.0, 1.0], [ratio, 1.0]]), b)
        extra /= ratio
    row[column("base<x")] = 0
    row[column("base<base")] = keep
    row[column("base<d0")] = -alpha * grow * last
    row[column("base<d1")] = -alpha * grow * (1 - last - extra)
    row[column("base<d2")] = -alpha * grow * extra
