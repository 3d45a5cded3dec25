"""Solvers of the probability-flow ODE, each a function from a noise schedule and a number of steps to a table.

Each table equals the diffusers scheduler of the same settings within 1e-4 over a trajectory (1e-6 in double
precision; in single, diffusers' own rounding of a state at the scale of sigma is what is seen).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dermforge.common.errors import UserError
from gen.diffusion.schedules import SPACINGS, Array, NoiseSchedule, karras, scales, sigma_to_t
from gen.diffusion.steps import StepTable, column, first_order


def table(solver: str, schedule: NoiseSchedule, steps: int, strength: float = 1.0) -> StepTable:
    """The step table of a solver.

    Parameters
    ----------
    solver
        A name in `SOLVERS`, optionally with a spacing: `dpmsolver++:karras`. Without one the steps are spaced as
        diffusers' class of that solver spaces them, made `from_config` of the pipeline's scheduler.
    steps
        Number of steps from pure noise, 1 to the number of training timesteps.
    strength
        Part of the way from the image to pure noise at which to start, in (0, 1]; of `steps`, only the last
        int(steps * strength) are taken, as in diffusers' image-to-image pipelines.

    Raises
    ------
    UserError
        For an unknown solver or spacing, one that the solver does not have, or a count that is out of range.
    """
    name, _, spacing = solver.partition(":")
    if name not in SOLVERS:
        raise UserError(f"unknown solver {name!r}; expected one of {', '.join(SOLVERS)}")
    if spacing and spacing not in SPACINGS:
        raise UserError(f"unknown spacing {spacing!r} in {solver!r}; expected one of {', '.join(SPACINGS)}")
    if name == "lcm" and spacing:
        raise UserError(f"lcm has no spacing {spacing!r}; it has one of its own")
    if name == "ddim" and spacing == "karras":
        raise UserError("ddim has no spacing 'karras'; take euler:karras, which is the same update")
    if not 1 <= steps <= len(schedule.alphas_cumprod):
        raise UserError(f"{steps} steps; expected 1 to {len(schedule.alphas_cumprod)}")
    if not 0 < strength <= 1:
        raise UserError(f"strength {strength}; expected a number in (0, 1]")
    taken = min(int(steps * strength), steps)
    if taken < 1:
        least = int(1 / strength) + 1
        raise UserError(f"strength {strength} of {steps} steps leaves no step; take at least {least} steps")
    seen = schedule.as_class(*CLASSES[name])
    if spacing:
        karras = spacing == "karras"
        seen = replace(seen, spacing="linspace" if karras else spacing, karras=karras)
    return SOLVERS[name](seen, steps, taken, strength)


def of_pipeline(scheduler: Mapping[str, Any]) -> str | None:
    """The solver that does what a pipeline's own scheduler does; None where only diffusers has its class."""
    return next((solver for solver, (name, _) in CLASSES.items() if name == scheduler.get("_class_name")), None)


def ddim(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """DDIM, eta 0 (Song et al. 2020, arXiv 2010.02502, eq. 12)."""
    total = len(schedule.alphas_cumprod)
    t = schedule.timesteps(steps, short=False)[-taken:].astype(int)
    before = t - total // steps  # as diffusers: not always the next entry of the list
    values = schedule.alphas_cumprod
    now, after = values[t], np.where(before >= 0, values[np.maximum(before, 0)], schedule.final_alpha_cumprod)
    alpha, sigma, alpha_after, sigma_after = (np.sqrt(v) for v in (now, 1 - now, after, 1 - after))
    c = first_order(alpha, sigma, alpha_after, sigma_after, schedule.prediction_type)
    return StepTable(t.astype(float), np.append(alpha, alpha_after[-1]), np.append(sigma, sigma_after[-1]), c)


def euler(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """Euler on the ODE in sigma (Karras et al. 2022, arXiv 2206.00364, algorithm 1)."""
    levels = schedule.levels
    t = schedule.timesteps(steps, short=False, exact=True)
    sigmas = np.interp(t, np.arange(len(levels)), levels)
    if schedule.karras:
        sigmas = karras(sigmas[-1], sigmas[0], steps)
        t = sigma_to_t(sigmas, levels)
    alpha, sigma = scales(np.append(sigmas, 0.0)[-taken - 1 :])
    c = first_order(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], schedule.prediction_type)
    return StepTable(t[-taken:], alpha, sigma, c, 1.0 if schedule.spacing == "leading" else float(sigma[0]))


def dpmsolver(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022, arXiv 2211.01095, algorithm 2)."""
    whole = np.floor if schedule.cosine else np.round  # of Karras' timesteps, as diffusers
    t, alpha, sigma, lam = _multistep_grid(schedule, steps, taken, whole)
    c = first_order(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], schedule.prediction_type)
    for i in range(1, taken - 1):  # the first and the last step stay of first order
        h, h0 = lam[i + 1] - lam[i], lam[i] - lam[i - 1]
        gain = -alpha[i + 1] * np.expm1(-h)
        c[i, column("x<base")] = sigma[i + 1] / sigma[i]
        c[i, column("x<d0")] = gain * (1 + 0.5 * h / h0)
        c[i, column("x<d1")] = -gain * 0.5 * h / h0
    return StepTable(t, alpha, sigma, c)


def unipc(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """UniPC of order 2, B2(h), predicting the clean latents (Zhao et al. 2023, arXiv 2302.04867)."""
    t, alpha, sigma, lam = _multistep_grid(schedule, steps, taken, np.round)
    c = first_order(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], schedule.prediction_type)
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
    return StepTable(t, alpha, sigma, c)


def lcm(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """Multistep consistency sampling of a latent consistency model (Luo et al. 2023, arXiv 2310.04378)."""
    total, original = len(schedule.alphas_cumprod), 50
    grid = np.arange(1, int(original * strength) + 1) * (total // original) - 1
    if len(grid) < steps:
        raise UserError(f"{steps} steps of lcm at strength {strength}; it has at most {len(grid)} there")
    t = grid[::-1][np.floor(np.linspace(0, len(grid), steps, endpoint=False)).astype(int)]
    alpha, sigma = np.sqrt(schedule.alphas_cumprod[t]), np.sqrt(1 - schedule.alphas_cumprod[t])
    scaled = t * 10.0
    skip, out = 0.25 / (scaled**2 + 0.25), scaled / np.sqrt(scaled**2 + 0.25)
    alpha_after, sigma_after = np.append(alpha[1:], 1.0), np.append(sigma[1:], 0.0)
    c = first_order(alpha, sigma, alpha_after, sigma_after, schedule.prediction_type)
    c[:, column("x<base")], c[:, column("x<d0")] = alpha_after * skip, alpha_after * out
    c[:, column("x<noise")] = sigma_after
    return StepTable(t.astype(float), np.append(alpha, 1.0), np.append(sigma, 0.0), c)


SOLVERS: dict[str, Callable[[NoiseSchedule, int, int, float], StepTable]] = {
    "ddim": ddim,
    "euler": euler,
    "dpmsolver++": dpmsolver,
    "unipc": unipc,
    "lcm": lcm,
}

#: The diffusers class of each solver, and how it spaces steps where its settings do not say.
CLASSES = {
    "ddim": ("DDIMScheduler", "leading"),
    "euler": ("EulerDiscreteScheduler", "linspace"),
    "dpmsolver++": ("DPMSolverMultistepScheduler", "linspace"),
    "unipc": ("UniPCMultistepScheduler", "linspace"),
    "lcm": ("LCMScheduler", "leading"),
}


def _multistep_grid(
    schedule: NoiseSchedule, steps: int, taken: int, whole: Callable[[Array], Array]
) -> tuple[Array, Array, Array, Array]:
    levels = schedule.levels
    if schedule.karras:
        sigmas = karras(levels[0], levels[-1], steps)
        t = whole(sigma_to_t(sigmas, levels))
    else:
        t = schedule.timesteps(steps, short=True)
        sigmas = levels[t.astype(int)]
    alpha, sigma = scales(np.append(sigmas, 0.0)[-taken - 1 :])
    with np.errstate(divide="ignore"):
        lam = np.log(alpha) - np.log(sigma)
    return t[-taken:], alpha, sigma, lam


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
