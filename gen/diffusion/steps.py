"""A solver's steps as a table of coefficients, and the one function that runs every table.

Every solver here is linear in what it knows: the state `x`, the last corrected state `base`, the
predictions of the clean latents at this step and at the two before it (`d0`, `d1`, `d2`), and fresh noise.
So images at different steps of different solvers can share a batch.

The state is x = alpha * clean + sigma * noise, which is the scale of the denoiser's input: alpha^2 + sigma^2 = 1 in
diffusion, alpha + sigma = 1 in flow matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gen.diffusion.spacing import Array

#: Columns of `StepTable.coefficients`.
TERMS = ("d0<x", "d0<out", "base<x", "base<base", "base<d0", "base<d1", "base<d2", "x<base", "x<d0", "x<d1", "x<noise")


def column(term: str) -> int:
    """The column of a term's coefficient."""
    return TERMS.index(term)


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
        From pure noise, the state before the first step is the starting noise times this.
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


def first_order(alpha: Array, sigma: Array, alpha_after: Array, sigma_after: Array, prediction: str) -> Array:
    """Coefficients of x' = alpha' d0 + sigma' eps, with eps = (x - alpha d0) / sigma; no correction."""
    c = np.zeros((len(alpha), len(TERMS)))
    if prediction == "epsilon":
        c[:, column("d0<x")], c[:, column("d0<out")] = 1 / alpha, -sigma / alpha
    elif prediction == "v_prediction":
        c[:, column("d0<x")], c[:, column("d0<out")] = alpha, -sigma
    elif prediction == "flow_prediction":
        c[:, column("d0<x")], c[:, column("d0<out")] = 1, -sigma
    else:
        c[:, column("d0<out")] = 1
    c[:, column("base<x")] = 1
    c[:, column("x<base")] = sigma_after / sigma
    c[:, column("x<d0")] = alpha_after - sigma_after / sigma * alpha
    return c


@dataclass
class SolverState:
    """What a solver carries from step to step for n images, each tensor [n, C, h, w]."""

    x: torch.Tensor
    base: torch.Tensor
    d1: torch.Tensor
    d2: torch.Tensor

    @classmethod
    def start(cls, x: torch.Tensor) -> SolverState:
        zeros = torch.zeros_like(x)
        return cls(x, x, zeros, zeros)


def advance(c: Array, state: SolverState, out: torch.Tensor, noise: torch.Tensor | None = None) -> SolverState:
    """One step of every image, each with its own coefficients, [n, 11].

    It consists of element-wise products and sums in a fixed order, so the result for one image does not depend on the
    others, to the bit.
    """
    used = np.any(c, axis=0).tolist()
    return combine(torch.from_numpy(c).to(out.device, state.x.dtype), state, out, noise, used)


def combine(
    c: torch.Tensor,
    state: SolverState,
    out: torch.Tensor,
    noise: torch.Tensor | None = None,
    used: Sequence[bool] = (True,) * len(TERMS),
) -> SolverState:
    """`advance` with coefficients on the device of the images; columns that are not `used` must be 0."""
    columns = c.T[..., None, None, None]

    def total_of(**terms: torch.Tensor | None) -> torch.Tensor:
        total: torch.Tensor | None = None
        for term, value in terms.items():
            at = column(term.replace("_from_", "<"))
            if used[at] and value is not None:
                total = value * columns[at] if total is None else total + value * columns[at]
        return torch.zeros_like(out) if total is None else total

    d0 = total_of(d0_from_x=state.x, d0_from_out=out)
    base = total_of(
        base_from_x=state.x, base_from_base=state.base, base_from_d0=d0, base_from_d1=state.d1, base_from_d2=state.d2
    )
    x = total_of(x_from_base=base, x_from_d0=d0, x_from_d1=state.d1, x_from_noise=noise)
    return SolverState(x, base, d0, state.d1)
