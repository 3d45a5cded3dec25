"""Whole trajectories of diffusers' schedulers and of step tables, with the same stand-in for a denoiser."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch

from gen.diffusion.steps import SolverState, StepTable, advance

SHAPE = (1, 4, 8, 8)
START = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
#: Stable Diffusion's own forward process, and the two others of diffusers.
BETAS: dict[str, dict[str, Any]] = {
    "sd": {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    "linear": {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}


def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A bounded, nonlinear stand-in for a denoiser that depends on the state and the timestep."""
    return torch.tanh(x.flip(-1) * 0.7 + 0.1 * x + t.to(x.dtype) / 1000) + 0.3 * torch.sin(3 * x)


def in_double(kind: type) -> Any:
    """A diffusers scheduler whose source says float64 wherever it said float32."""
    module = ModuleType(f"{kind.__module__}_in_double")
    module.__package__ = "diffusers.schedulers"
    sys.modules[module.__name__] = module  # its dataclasses look themselves up
    source = inspect.getsource(sys.modules[kind.__module__]).replace("float32", "float64")
    exec(compile(source, module.__name__, "exec"), module.__dict__)
    return getattr(module, kind.__name__)


def noises() -> Iterator[torch.Tensor]:
    """Fresh noise for each step, the same in every call."""
    generator = torch.Generator().manual_seed(1)
    while True:
        yield torch.randn(SHAPE, generator=generator, dtype=torch.float32)


def theirs(scheduler: Any, start: torch.Tensor, **step: Any) -> torch.Tensor:
    """The end of a trajectory of a diffusers scheduler, whose timesteps are set, from noise of unit variance.

    Fresh noise is that of `noises`. `step` is given to each step. From a start in double precision, what diffusers
    computes of whole numbers is in double precision too.
    """
    draws = noises()

    def draw(*_: Any, dtype: torch.dtype, **__: Any) -> torch.Tensor:
        return next(draws).to(dtype)

    if hasattr(scheduler, "set_begin_index"):  # else diffusers fails where rounded timesteps repeat
        scheduler.set_begin_index(0)
    x, usual = start * getattr(scheduler, "init_noise_sigma", 1.0), torch.get_default_dtype()
    torch.set_default_dtype(start.dtype)
    try:
        with patch.object(sys.modules[type(scheduler).__module__], "randn_tensor", draw, create=True):
            for t in scheduler.timesteps:
                rows = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
                x = scheduler.step(model(rows, t), t, x, **step).prev_sample
    finally:
        torch.set_default_dtype(usual)
    return x


def ours(table: StepTable, start: torch.Tensor) -> torch.Tensor:
    """The end of a table's trajectory from noise of unit variance; fresh noise is that of `noises`."""
    state, draws = SolverState.start(start * table.start_scale), noises()
    for c, t in zip(table.coefficients, table.timesteps, strict=True):
        noise = next(draws).to(start.dtype)
        state = advance(c[None], state, model(state.x, torch.tensor(t)), noise)
    return state.x


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, of the size of the second where that is above 1."""
    return float((a - b).abs().max()) / max(1.0, float(b.abs().max()))
