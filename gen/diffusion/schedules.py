"""Noise schedules of diffusion: the forward process of a pipeline's training, and how steps are spaced over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from dermforge.common.errors import UserError
from gen.diffusion.flow import is_flow
from gen.diffusion.spacing import RAMPS, Array, Grid, ramp, ramp_of, scales, sigma_to_t

SPACINGS = ("leading", "trailing", "linspace", *RAMPS)
SAMPLING = frozenset({"timestep_spacing", "steps_offset", "set_alpha_to_one"})
PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True)
class NoiseSchedule:
    """The forward process that a pipeline was trained on, and how its steps are spaced.

    Attributes
    ----------
    alphas_cumprod
        Signal variance at each training timestep, [T]; exactly 0 at the last one under zero terminal SNR.
    ramp
        Noise levels are spaced by one of `RAMPS`, within the range that `spacing` gives.
    cosine
        Its betas are `squaredcos_cap_v2`.
    consistency_steps, consistency_scaling
        Of a consistency model (LCM, TCD): the steps that its teacher took, and the scale of a timestep in the
        boundary condition.
    own_class
        Diffusers' class of the pipeline's scheduler.
    unset
        Settings that the pipeline's file leaves out; they have the defaults of that class here.
    """

    alphas_cumprod: Array
    prediction_type: str = "epsilon"
    spacing: str = "leading"
    ramp: str | None = None
    steps_offset: int = 0
    final_alpha_cumprod: float = 1.0
    cosine: bool = False
    consistency_steps: int = 50
    consistency_scaling: float = 10.0
    own_class: str | None = None
    unset: frozenset[str] = frozenset()

    @property
    def total(self) -> int:
        """Training timesteps."""
        return len(self.alphas_cumprod)

    @property
    def zero_snr(self) -> bool:
        return bool(self.alphas_cumprod[-1] == 0)

    @property
    def finite(self) -> Array:
        """`alphas_cumprod` with the small number that diffusers has in place of 0, for solvers that divide by it."""
        values = self.alphas_cumprod.copy()
        if self.zero_snr:
            values[-1] = 2.0**-24
        return values

    @property
    def levels(self) -> Array:
        """The noise level sigma/alpha at each training timestep, [T]."""
        return np.sqrt((1 - self.finite) / self.finite)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """The schedule in the settings of a diffusers scheduler, as an engine's spec has them.

        Raises
        ------
        UserError
            For flow matching, or a beta schedule or prediction type that is no variance-preserving diffusion.
        """
        if is_flow(config):
            raise UserError("the pipeline is of flow matching; expected one that was trained to denoise diffusion")
        prediction = config.get("prediction_type") or "epsilon"
        if prediction not in PREDICTIONS:
            raise UserError(f"the pipeline predicts {prediction!r}; expected one of {', '.join(PREDICTIONS)}")
        alphas_cumprod: Array = np.cumprod(1.0 - _betas(config), dtype=np.float64)
        if config.get("rescale_betas_zero_snr"):
            alphas_cumprod = _zero_terminal_snr(alphas_cumprod)
            if prediction == "epsilon":
                raise UserError(
                    "the pipeline predicts noise from pure noise (epsilon with "
                    "rescale_betas_zero_snr); such a model must predict v or the sample"
                )
        return cls(
            alphas_cumprod,
            prediction,
            config.get("timestep_spacing") or "leading",
            ramp_of(config),
            int(config.get("steps_offset") or 0),
            1.0 if config.get("set_alpha_to_one", True) else float(alphas_cumprod[0]),
            config.get("trained_betas") is None and config.get("beta_schedule") == "squaredcos_cap_v2",
            int(config.get("original_inference_steps") or 50),
            float(config.get("timestep_scaling", 10.0)),
            config.get("_class_name"),
            frozenset(config.get("_use_default_values", ())) | (SAMPLING - config.keys()),
        )

    def as_class(self, name: str, spacing: str) -> Self:
        """The schedule that a diffusers class takes from the pipeline's scheduler, by its `from_config`.

        Parameters
        ----------
        name
            The class. The pipeline's own takes it as it is; for another one, the settings that the pipeline's file
            leaves out have the defaults of that class.
        spacing
            How that class spaces steps by default.
        """
        if name == self.own_class:
            return self
        return replace(
            self,
            spacing=spacing if "timestep_spacing" in self.unset else self.spacing,
            steps_offset=0 if "steps_offset" in self.unset else self.steps_offset,
            final_alpha_cumprod=1.0 if "set_alpha_to_one" in self.unset else self.final_alpha_cumprod,
        )

    def taken(self, steps: int, strength: float) -> int:
        """The steps that are left from an image at this strength, as in the pipelines of Stable Diffusion."""
        return min(int(steps * strength), steps)

    def timesteps(self, steps: int, short: bool, exact: bool = False) -> Array:
        """Training timesteps, highest first (arXiv 2305.08891, table 2).

        `short` leaves out the lowest of steps + 1, as the multistep schedulers do; `exact` does not round.
        """
        total = self.total
        count = steps + short
        if self.spacing == "linspace":
            t = np.linspace(0, total - 1, count)[::-1][:steps]
            return t if exact else t.round()
        if self.spacing == "leading":
            t = np.arange(count, dtype=np.float64)[::-1][:steps] * (total // count) + self.steps_offset
            return np.minimum(t, total - 1.0)  # with steps = T the offset would pass the end
        return np.arange(total, 0, -total / steps).round()[:steps] - 1

    def euler_grid(self, steps: int) -> Grid:
        """The steps of diffusers' EulerDiscreteScheduler and HeunDiscreteScheduler: timesteps are not whole numbers."""
        levels = self.levels
        t = self.timesteps(steps, short=False, exact=True)
        sigmas = np.interp(t, np.arange(len(levels)), levels)
        if self.ramp:
            sigmas = ramp(self.ramp, sigmas[-1], sigmas[0], steps)
            t = sigma_to_t(sigmas, levels)
        grid = self._grid(t, sigmas)
        return grid if self.spacing == "leading" else replace(grid, start_scale=float(grid.sigmas[0]))

    def dpmsolver_grid(self, steps: int) -> Grid:
        """The steps of diffusers' DPMSolverMultistepScheduler, whose timesteps are whole numbers."""
        return self._whole_grid(steps, _floor if self.cosine or self.ramp != "karras" else np.round)

    def unipc_grid(self, steps: int) -> Grid:
        """The steps of diffusers' UniPCMultistepScheduler, whose timesteps are whole numbers."""
        return self._whole_grid(steps, np.round if self.ramp == "karras" else _floor)

    def _whole_grid(self, steps: int, whole: Callable[[Array], Array]) -> Grid:
        levels = self.levels
        if self.ramp:
            sigmas = ramp(self.ramp, levels[0], levels[-1], steps)
            return self._grid(whole(sigma_to_t(sigmas, levels)), sigmas)
        t = self.timesteps(steps, short=True)
        return self._grid(t, levels[t.astype(int)])

    def _grid(self, timesteps: Array, sigmas: Array) -> Grid:
        return Grid(timesteps, *scales(np.append(sigmas, 0.0)), self.prediction_type)


def _floor(timesteps: Array) -> Array:
    """Whole timesteps; what rounding brought just below a whole number is that number."""
    return np.floor(timesteps + 1e-6)


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
        return np.asarray(np.minimum(1 - curve[1:] / curve[:-1], 0.999))
    expected = "linear, scaled_linear or squaredcos_cap_v2"
    raise UserError(f"the pipeline's beta_schedule is {kind!r}; expected {expected}")


def _zero_terminal_snr(alphas_cumprod: Array) -> Array:
    """Shift and scale so that no signal is left at the last timestep (arXiv 2305.08891, algorithm 1)."""
    root = np.sqrt(alphas_cumprod)
    return np.asarray(((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2)
