"""Solvers of the probability-flow ODE as tables of coefficients.

Every solver here is linear in what it knows: the state `x`, the last corrected state `base`, the
predictions of the clean latents at this step and at the two before it (`d0`, `d1`, `d2`), and fresh noise.
A solver is therefore a function from a noise schedule and a number of steps to a `StepTable`, and one
function, `advance`, runs them all, with images at different steps of different solvers in one batch.

The state is kept in the variance-preserving scale (x = alpha * clean + sigma * noise), which is the UNet's
input as it is. Each table equals the diffusers scheduler of the same settings within 1e-4 over a trajectory
(1e-6 in double precision; in single, diffusers' own rounding of a state at the scale of sigma is what is seen).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shards.errors import UserError

Array = NDArray[np.float64]

SPACINGS = ("leading", "trailing", "linspace", "karras")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
#: Columns of `StepTable.coefficients`.
TERMS = (
    "d0<x", "d0<out",
    "base<x", "base<base", "base<d0", "base<d1", "base<d2",
    "x<base", "x<d0", "x<d1", "x<noise",
)


@dataclass(frozen=True)
class NoiseSchedule:
    """The forward process that a pipeline was trained on, and how its steps are spaced.

    Attributes
    ----------
    alphas_cumprod
        Signal variance at each training timestep, [T]; exactly 0 at the last one under zero terminal SNR.
    cosine
        Its betas are `squaredcos_cap_v2`.
    """

    alphas_cumprod: Array
    prediction_type: str = "epsilon"
    spacing: str = "leading"
    steps_offset: int = 0
    final_alpha_cumprod: float = 1.0
    cosine: bool = False

    @property
    def zero_snr(self) -> bool:
        return bool(self.alphas_cumprod[-1] == 0)

    @property
    def finite(self) -> Array:
        """`alphas_cumprod` with diffusers' stand-in for zero, for solvers that divide by it."""
        values = self.alphas_cumprod.copy()
        if self.zero_snr:
            values[-1] = 2.0**-24
        return values

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """The schedule in a diffusers `scheduler_config.json`.

        Raises
        ------
        UserError
            For a beta schedule or a prediction type that is not a variance-preserving diffusion.
        """
        prediction = config.get("prediction_type") or "epsilon"
        if prediction not in PREDICTIONS:
            raise UserError(f"the pipeline predicts {prediction!r}; expected one of {', '.join(PREDICTIONS)}")
        alphas_cumprod: Array = np.cumprod(1.0 - _betas(config), dtype=np.float64)
        if config.get("rescale_betas_zero_snr"):
            alphas_cumprod = _zero_terminal_snr(alphas_cumprod)
            if prediction == "epsilon":
                raise UserError("the pipeline predicts noise from pure noise (epsilon with "
                                "rescale_betas_zero_snr); such a model must predict v or the sample")
        return cls(
            alphas_cumprod, prediction, config.get("timestep_spacing") or "leading",
            int(config.get("steps_offset") or 0),
            1.0 if config.get("set_alpha_to_one", True) else float(alphas_cumprod[0]),
            config.get("trained_betas") is None and config.get("beta_schedule") == "squaredcos_cap_v2",
        )


@dataclass(frozen=True)
class StepTable:
    """What K steps of a solver need.

    Attributes
    ----------
    timesteps
        Given to the UNet, [K].
    alphas, sigmas
        Scales of signal and noise in the state before each step and after the last, [K + 1].
    coefficients
        One row a step, one column for each of `TERMS`, [K, 11].
    start_scale
        The state before the first step is the starting noise times this (when nothing but noise is there).
    """

    timesteps: Array
    alphas: Array
    sigmas: Array
    coefficients: Array
    start_scale: float = 1.0

    def __len__(self) -> int:
        return len(self.timesteps)

    def guided(self, interval: tuple[float, float] | None) -> NDArray[np.bool_]:
        """Which steps are guided: those whose noise level sigma/alpha is in (low, high].

        Noise levels are those of Kynkäänniemi et al. 2024 (arXiv 2404.07724); None guides every step.
        """
        if interval is None:
            return np.ones(len(self), dtype=bool)
        level = self.sigmas[:-1] / np.maximum(self.alphas[:-1], 1e-12)
        return (level > interval[0]) & (level <= interval[1])


def table(solver: str, schedule: NoiseSchedule, steps: int, strength: float = 1.0) -> StepTable:
    """The step table of a solver.

    Parameters
    ----------
    solver
        A name in `SOLVERS`, optionally with a spacing: `dpmsolver++:karras`. Without one the pipeline's own
        spacing is used.
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
    return SOLVERS[name](replace(schedule, spacing=spacing or schedule.spacing), steps, taken, strength)


def ddim(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """DDIM, eta 0 (Song et al. 2020, arXiv 2010.02502, eq. 12)."""
    total = len(schedule.alphas_cumprod)
    t = _timesteps(schedule, steps, short=False)[-taken:].astype(int)
    before = t - total // steps  # as diffusers: not always the next entry of the list
    values = schedule.alphas_cumprod
    now, after = values[t], np.where(before >= 0, values[np.maximum(before, 0)], schedule.final_alpha_cumprod)
    alpha, sigma, alpha_after, sigma_after = (np.sqrt(v) for v in (now, 1 - now, after, 1 - after))
    c = _first_order(alpha, sigma, alpha_after, sigma_after, schedule.prediction_type)
    return StepTable(t.astype(float), np.append(alpha, alpha_after[-1]), np.append(sigma, sigma_after[-1]), c)


def euler(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """Euler on the ODE in sigma (Karras et al. 2022, arXiv 2206.00364, algorithm 1)."""
    levels = _levels(schedule)
    spacing = "linspace" if schedule.spacing == "karras" else schedule.spacing
    t = _timesteps(replace(schedule, spacing=spacing), steps, short=False, exact=True)
    sigmas = np.interp(t, np.arange(len(levels)), levels)
    if schedule.spacing == "karras":
        sigmas = _karras(sigmas[-1], sigmas[0], steps)
        t = _sigma_to_t(sigmas, levels)
    alpha, sigma = _scales(np.append(sigmas, 0.0)[-taken - 1:])
    c = _first_order(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], schedule.prediction_type)
    return StepTable(t[-taken:], alpha, sigma, c, 1.0 if spacing == "leading" else float(sigma[0]))


def dpmsolver(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022, arXiv 2211.01095, algorithm 2)."""
    whole = np.floor if schedule.cosine else np.round  # of Karras' timesteps, as diffusers
    t, alpha, sigma, lam = _multistep_grid(schedule, steps, taken, whole)
    c = _first_order(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], schedule.prediction_type)
    for i in range(1, taken - 1):  # the first and the last step stay of first order
        h, h0 = lam[i + 1] - lam[i], lam[i] - lam[i - 1]
        gain = -alpha[i + 1] * np.expm1(-h)
        c[i, _at("x<base")] = sigma[i + 1] / sigma[i]
        c[i, _at("x<d0")] = gain * (1 + 0.5 * h / h0)
        c[i, _at("x<d1")] = -gain * 0.5 * h / h0
    return StepTable(t, alpha, sigma, c)


def unipc(schedule: NoiseSchedule, steps: int, taken: int, strength: float) -> StepTable:
    """UniPC of order 2, B2(h), predicting the clean latents (Zhao et al. 2023, arXiv 2302.04867)."""
    t, alpha, sigma, lam = _multistep_grid(schedule, steps, taken, np.round)
    c = _first_order(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], schedule.prediction_type)
    order = [min(2, i + 1, taken - i) for i in range(taken)]
    for i in range(1, taken):
        if order[i] == 2:
            ratio = (lam[i - 1] - lam[i]) / (lam[i + 1] - lam[i])
            gain = alpha[i + 1] * np.expm1(lam[i] - lam[i + 1])
            c[i, _at("x<base")] = sigma[i + 1] / sigma[i]
            c[i, _at("x<d0")] = -gain * (1 - 0.5 / ratio)
            c[i, _at("x<d1")] = -gain * 0.5 / ratio
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
    c = _first_order(alpha, sigma, alpha_after, sigma_after, schedule.prediction_type)
    c[:, _at("x<base")], c[:, _at("x<d0")] = alpha_after * skip, alpha_after * out
    c[:, _at("x<noise")] = sigma_after
    return StepTable(t.astype(float), np.append(alpha, 1.0), np.append(sigma, 0.0), c)


SOLVERS: dict[str, Callable[[NoiseSchedule, int, int, float], StepTable]] = {
    "ddim": ddim, "euler": euler, "dpmsolver++": dpmsolver, "unipc": unipc, "lcm": lcm,
}


@dataclass
class State:
    """What a solver carries from step to step for n images, each tensor [n, C, h, w]."""

    x: torch.Tensor
    base: torch.Tensor
    d1: torch.Tensor
    d2: torch.Tensor

    @classmethod
    def start(cls, x: torch.Tensor) -> State:
        zeros = torch.zeros_like(x)
        return cls(x, x, zeros, zeros)


def advance(c: Array, state: State, out: torch.Tensor, noise: torch.Tensor | None = None) -> State:
    """One step of every image, each with its own row of coefficients, [n, 11].

    Only products and sums of single elements, in a fixed order: the result for one image does not depend
    on its neighbours, to the bit.
    """
    used = np.any(c, axis=0).tolist()
    columns = torch.from_numpy(c).to(out.device, state.x.dtype).T[..., None, None, None]

    def combine(**terms: torch.Tensor | None) -> torch.Tensor:
        total: torch.Tensor | None = None
        for term, value in terms.items():
            at = _at(term.replace("_from_", "<"))
            if used[at] and value is not None:
                total = value * columns[at] if total is None else total + value * columns[at]
        return torch.zeros_like(out) if total is None else total

    d0 = combine(d0_from_x=state.x, d0_from_out=out)
    base = combine(base_from_x=state.x, base_from_base=state.base, base_from_d0=d0,
                   base_from_d1=state.d1, base_from_d2=state.d2)
    x = combine(x_from_base=base, x_from_d0=d0, x_from_d1=state.d1, x_from_noise=noise)
    return State(x, base, d0, state.d1)


def _at(term: str) -> int:
    return TERMS.index(term)


def _betas(config: Mapping[str, Any]) -> Array:
    if config.get("trained_betas") is not None:
        return np.asarray(config["trained_betas"], dtype=np.float64)
    kind = config.get("beta_schedule", "linear")
    low, high = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    total = config.get("num_train_timesteps", 1000)
    if kind == "linear":
        return np.linspace(low, high, total)
    if kind == "scaled_linear":
        return np.linspace(low**0.5, high**0.5, total) ** 2
    if kind == "squaredcos_cap_v2":
        curve = np.cos((np.arange(total + 1) / total + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - curve[1:] / curve[:-1], 0.999)
    expected = "linear, scaled_linear or squaredcos_cap_v2"
    raise UserError(f"the pipeline's beta_schedule is {kind!r}; expected {expected}")


def _zero_terminal_snr(alphas_cumprod: Array) -> Array:
    """Shift and scale so that no signal is left at the last timestep (arXiv 2305.08891, algorithm 1)."""
    root = np.sqrt(alphas_cumprod)
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def _timesteps(schedule: NoiseSchedule, steps: int, short: bool, exact: bool = False) -> Array:
    """Training timesteps, highest first (arXiv 2305.08891, table 2).

    `short` leaves the lowest of steps + 1 out, as the multistep schedulers do; `exact` does not round.
    """
    total = len(schedule.alphas_cumprod)
    count = steps + short
    if schedule.spacing == "linspace":
        t = np.linspace(0, total - 1, count)[::-1][:steps]
        return t if exact else t.round()
    if schedule.spacing == "leading":
        t = np.arange(count, dtype=np.float64)[::-1][:steps] * (total // count) + schedule.steps_offset
        return np.minimum(t, total - 1.0)  # with steps = T the offset would pass the end
    return np.arange(total, 0, -total / steps).round()[:steps] - 1


def _levels(schedule: NoiseSchedule) -> Array:
    """The noise level sigma/alpha at each training timestep."""
    return np.sqrt((1 - schedule.finite) / schedule.finite)


def _scales(level: Array) -> tuple[Array, Array]:
    """alpha and sigma of the variance-preserving state at a noise level."""
    alpha = 1 / np.sqrt(level**2 + 1)
    return alpha, level * alpha


def _karras(low: float, high: float, steps: int, rho: float = 7.0) -> Array:
    """Noise levels of Karras et al. 2022, eq. 5, highest first."""
    ramp = np.linspace(0, 1, steps)
    return (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho


def _sigma_to_t(sigmas: Array, levels: Array) -> Array:
    return np.interp(np.log(sigmas), np.log(levels), np.arange(len(levels)))


def _multistep_grid(
    schedule: NoiseSchedule, steps: int, taken: int, whole: Callable[[Array], Array]
) -> tuple[Array, Array, Array, Array]:
    levels = _levels(schedule)
    if schedule.spacing == "karras":
        sigmas = _karras(levels[0], levels[-1], steps)
        t = whole(_sigma_to_t(sigmas, levels))
    else:
        t = _timesteps(schedule, steps, short=True)
        sigmas = levels[t.astype(int)]
    alpha, sigma = _scales(np.append(sigmas, 0.0)[-taken - 1:])
    with np.errstate(divide="ignore"):
        lam = np.log(alpha) - np.log(sigma)
    return t[-taken:], alpha, sigma, lam


def _first_order(
    alpha: Array, sigma: Array, alpha_after: Array, sigma_after: Array, prediction: str
) -> Array:
    """Coefficients of x' = alpha' d0 + sigma' eps, with eps = (x - alpha d0) / sigma; no correction."""
    c = np.zeros((len(alpha), len(TERMS)))
    if prediction == "epsilon":
        c[:, _at("d0<x")], c[:, _at("d0<out")] = 1 / alpha, -sigma / alpha
    elif prediction == "v_prediction":
        c[:, _at("d0<x")], c[:, _at("d0<out")] = alpha, -sigma
    else:
        c[:, _at("d0<out")] = 1
    c[:, _at("base<x")] = 1
    c[:, _at("x<base")] = sigma_after / sigma
    c[:, _at("x<d0")] = alpha_after - sigma_after / sigma * alpha
    return c


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
    row[_at("base<x")] = 0
    row[_at("base<base")] = keep
    row[_at("base<d0")] = -alpha * grow * last
    row[_at("base<d1")] = -alpha * grow * (1 - last - extra)
    row[_at("base<d2")] = -alpha * grow * extra
