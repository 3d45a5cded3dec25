"""Where a solver's steps are, and how noise levels are spaced between two ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: The spacings of noise levels that diffusers' classes have, as `use_karras_sigmas` and so on.
RAMPS = ("karras", "exponential", "beta")


@dataclass(frozen=True)
class Grid:
    """Where the K steps of a solver are.

    Attributes
    ----------
    timesteps
        Given to the denoiser, highest first, [K].
    alphas, sigmas
        Scales of signal and noise in the state before each step and after the last, [K + 1].
    prediction
        What the denoiser predicts: `epsilon`, `v_prediction`, `sample` or `flow_prediction`.
    start_scale
        From pure noise, the state before the first step is the starting noise times this.
    """

    timesteps: Array
    alphas: Array
    sigmas: Array
    prediction: str
    start_scale: float = 1.0

    def __len__(self) -> int:
        return len(self.timesteps)

    @property
    def log_snr(self) -> Array:
        """lambda of Lu et al. 2022, log(alpha / sigma), [K + 1]; infinite where there is no noise or no signal."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.alphas) - np.log(self.sigmas))

    def last(self, taken: int) -> Self:
        """The last steps only, as an image-to-image pipeline takes them."""
        return replace(
            self, timesteps=self.timesteps[-taken:], alphas=self.alphas[-taken - 1 :], sigmas=self.sigmas[-taken - 1 :]
        )


def ramp_of(config: Mapping[str, Any]) -> str | None:
    """The spacing of noise levels that a scheduler's settings ask for."""
    return next((kind for kind in RAMPS if config.get(f"use_{kind}_sigmas")), None)


def ramp(kind: str, low: float, high: float, steps: int) -> Array:
    """Noise levels of one of `RAMPS` between two ends, highest first, [steps]."""
    if kind == "karras":
        return karras(low, high, steps)
    if kind == "exponential":
        return np.asarray(np.exp(np.linspace(np.log(high), np.log(low), steps)))
    return beta(low, high, steps)


def karras(low: float, high: float, steps: int, rho: float = 7.0) -> Array:
    """Noise levels of Karras et al. 2022, eq. 5, highest first."""
    ramp = np.linspace(0, 1, steps)
    return np.asarray((high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho)


def beta(low: float, high: float, steps: int, a: float = 0.6, b: float = 0.6) -> Array:
    """Noise levels at the quantiles of a beta distribution, highest first (Lee et al. 2024, arXiv 2407.12173)."""
    from scipy.special import betaincinv

    return np.asarray(low + betaincinv(a, b, 1 - np.linspace(0, 1, steps)) * (high - low))


def scales(level: Array) -> tuple[Array, Array]:
    """alpha and sigma of the variance-preserving state at a noise level."""
    alpha = 1 / np.sqrt(level**2 + 1)
    return alpha, level * alpha


def sigma_to_t(sigmas: Array, levels: Array) -> Array:
    """The timestep of each noise level, interpolated between those of training."""
    return np.interp(np.log(sigmas), np.log(levels), np.arange(len(levels)))
