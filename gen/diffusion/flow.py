"""Schedules of flow matching: x = (1 - sigma) clean + sigma noise, and a denoiser that predicts noise - clean.

The sources are Lipman et al. 2022 (arXiv 2210.02747) and, for the shift of the noise levels by the size of an image,
Esser et al. 2024 (arXiv 2403.03206, eq. 23).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dermforge.common.errors import UserError
from gen.diffusion.spacing import Array, Grid, ramp, ramp_of

PREDICTION = "flow_prediction"
#: UniPC of diffusers starts this much below pure noise, where the logarithm of no signal would be infinite.
_BELOW_NOISE = 1e-6


def is_flow(config: Mapping[str, Any]) -> bool:
    """Whether the settings of a diffusers scheduler are of flow matching."""
    asks = config.get("use_flow_sigmas") or config.get("prediction_type") == PREDICTION
    return bool(asks or _is_flow_class(config))


def _is_flow_class(config: Mapping[str, Any]) -> bool:
    return str(config.get("_class_name")).startswith("FlowMatch")


@dataclass(frozen=True)
class FlowSchedule:
    """The noise levels of a flow, and how they are shifted.

    Attributes
    ----------
    total
        Training timesteps; the timestep of a noise level is sigma times this.
    shift
        Noise levels are shift sigma / (1 + (shift - 1) sigma).
    dynamic
        The shift is that of the size of the image, and not of the settings alone.
    terminal
        The lowest noise level before 0, to which the others are stretched; None leaves them.
    ramp
        Noise levels are spaced by one of `RAMPS`, within the range that they have otherwise.
    from_one
        Euler's noise levels go from 1 to 1 / steps before the shift, as FLUX's pipeline asks for; otherwise to that of
        the lowest training timestep.
    """

    total: int = 1000
    shift: float = 1.0
    dynamic: bool = False
    terminal: float | None = None
    ramp: str | None = None
    from_one: bool = False

    @property
    def prediction_type(self) -> str:
        return PREDICTION

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], image_tokens: int | None = None, from_one: bool = False
    ) -> FlowSchedule:
        """The schedule in the settings of a diffusers scheduler, as an engine's spec has them.

        Parameters
        ----------
        image_tokens
            Tokens of an image in the denoiser, for a shift by size.

        Raises
        ------
        UserError
            The shift is by size, and the size is not given.
        """
        dynamic = bool(config.get("use_dynamic_shifting"))
        fixed = config.get("shift" if _is_flow_class(config) else "flow_shift", 1.0)
        return cls(
            int(config.get("num_train_timesteps", 1000)),
            _shift_by_size(config, image_tokens) if dynamic else float(fixed),
            dynamic,
            config.get("shift_terminal") or None,
            ramp_of(config),
            from_one,
        )

    def taken(self, steps: int, strength: float) -> int:
        """The steps that are left from an image at this strength, as in the pipelines of SD 3 and FLUX."""
        return steps - int(steps - steps * strength)

    def shifted(self, sigmas: Array) -> Array:
        """The noise levels after the shift."""
        return np.asarray(self.shift * sigmas / (1 + (self.shift - 1) * sigmas))

    def euler_grid(self, steps: int) -> Grid:
        """The steps of diffusers' FlowMatchEulerDiscreteScheduler and, with the same settings, of its Heun's."""
        if self.from_one:
            sigmas = np.linspace(1, 1 / steps, steps)
        else:  # diffusers spaces them between ends that a fixed shift has moved already, and moves them again
            ends = np.array([1, 1 / self.total])
            high, low = (ends if self.dynamic else self.shifted(ends)) * self.total
            sigmas = np.linspace(high, low, steps) / self.total
        sigmas = self._stretched(self.shifted(sigmas))
        if self.ramp:
            sigmas = ramp(self.ramp, sigmas[-1], sigmas[0], steps)
        return self._grid(sigmas, sigmas * self.total)

    def dpmsolver_grid(self, steps: int) -> Grid:
        """The steps of diffusers' DPMSolverMultistepScheduler with `use_flow_sigmas`; timesteps are whole numbers."""
        if self.terminal is not None:
            raise UserError(
                "dpmsolver++ has no shift_terminal, which the pipeline's scheduler has; take euler or unipc"
            )
        self._refuse_ramp("dpmsolver++")
        signal = np.linspace(1, 1 / self.total, steps + 1)
        sigmas = self.shifted(1 - signal)[:0:-1]
        return self._grid(sigmas, np.trunc(sigmas * self.total))

    def unipc_grid(self, steps: int) -> Grid:
        """The steps of diffusers' UniPCMultistepScheduler with `use_flow_sigmas`; timesteps are whole numbers."""
        self._refuse_ramp("unipc")
        sigmas = self._stretched(self.shifted(np.linspace(1, 1 / self.total, steps + 1)[:-1]))
        if abs(sigmas[0] - 1) < _BELOW_NOISE:
            sigmas[0] -= _BELOW_NOISE
        return self._grid(sigmas, np.trunc(sigmas * self.total))

    def _stretched(self, sigmas: Array) -> Array:
        """Noise levels that end at `terminal` (diffusers' `shift_terminal`, which is of LTX-Video)."""
        if self.terminal is None:
            return sigmas
        if len(sigmas) == 1:
            raise UserError("1 step; the pipeline's scheduler has a shift_terminal, which takes at least 2")
        clean = 1 - sigmas
        return np.asarray(1 - clean / (clean[-1] / (1 - self.terminal)))

    def _refuse_ramp(self, solver: str) -> None:
        if self.ramp:
            raise UserError(f"{solver} has no spacing {self.ramp!r} in flow matching; take euler or heun")

    def _grid(self, sigmas: Array, timesteps: Array) -> Grid:
        sigmas = np.append(sigmas, 0.0)
        return Grid(timesteps, 1 - sigmas, sigmas, PREDICTION)


def _shift_by_size(config: Mapping[str, Any], image_tokens: int | None) -> float:
    """The shift of an image of this size (`calculate_shift` of diffusers' pipelines, whose defaults these are)."""
    if image_tokens is None:
        raise UserError("the noise levels of the pipeline's scheduler depend on the size of an image; give its tokens")
    low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    slope = (high - low) / (many - few)
    mu = image_tokens * slope + (low - slope * few)
    return float(mu) if config.get("time_shift_type") == "linear" else math.exp(mu)
