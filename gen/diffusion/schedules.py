"""Noise schedules: the forward process of a pipeline's training, and how a solver's steps are spaced over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError

Array = NDArray[np.float64]

SPACINGS = ("leading", "trailing", "linspace", "karras")
SAMPLING = frozenset({"timestep_spacing", "steps_offset", "set_alpha_to_one"})
PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True)
class NoiseSchedule:
    """The forward process that a pipeline was trained on, and how its steps are spaced.

    Attributes
    ----------
    alphas_cumprod
        Signal variance at each training timestep, [T]; exactly 0 at the last one under zero terminal SNR.
    karras
        Noise levels are spaced as by Karras et al. 2022, within the range that `spacing` gives.
    cosine
        Its betas are `squaredcos_cap_v2`.
    own_class
        Diffusers' class of the pipeline's scheduler.
    unset
        Settings that the pipeline's file leaves out; they have the defaults of that class here.
    """

    alphas_cumprod: Array
    prediction_type: str = "epsilon"
    spacing: str = "leading"
    karras: bool = False
    steps_offset: int = 0
    final_alpha_cumprod: float = 1.0
    cosine: bool = False
    own_class: str | None = None
    unset: frozenset[str] = frozenset()

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
            For a beta schedule or a prediction type that is not a variance-preserving diffusion.
        """
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
            bool(config.get("use_karras_sigmas")),
            int(config.get("steps_offset") or 0),
            1.0 if config.get("set_alpha_to_one", True) else float(alphas_cumprod[0]),
            config.get("trained_betas") is None and config.get("beta_schedule") == "squaredcos_cap_v2",
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

    def timesteps(self, steps: int, short: bool, exact: bool = False) -> Array:
        """Training timesteps, highest first (arXiv 2305.08891, table 2).

        `short` leaves out the lowest of steps + 1, as the multistep schedulers do; `exact` does not round.
        """
        total = len(self.alphas_cumprod)
        count = steps + short
        if self.spacing == "linspace":
            t = np.linspace(0, total - 1, count)[::-1][:steps]
            return t if exact else t.round()
        if self.spacing == "leading":
            t = np.arange(count, dtype=np.float64)[::-1][:steps] * (total // count) + self.steps_offset
            return np.minimum(t, total - 1.0)  # with steps = T the offset would pass the end
        return np.arange(total, 0, -total / steps).round()[:steps] - 1


def scales(level: Array) -> tuple[Array, Array]:
    """alpha and sigma of the variance-preserving state at a noise level."""
    alpha = 1 / np.sqrt(level**2 + 1)
    return alpha, level * alpha


def karras(low: float, high: float, steps: int, rho: float = 7.0) -> Array:
    """Noise levels of Karras et al. 2022, eq. 5, highest first."""
    ramp = np.linspace(0, 1, steps)
    return np.asarray((high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho)


def sigma_to_t(sigmas: Array, levels: Array) -> Array:
    """The timestep of each noise level, interpolated between those of training."""
    return np.interp(np.log(sigmas), np.log(levels), np.arange(len(levels)))


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
