"""Inputs and tolerances that several tests of engines share."""

from __future__ import annotations

import pytest
import torch

from engines.backends.tensorrt import resolve_target
from engines.errors import EngineError

FLAVOURS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}
HALF_ERROR = 3e-2  # of an untrained network's output in half precision, relative


def gauss(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def on_cuda(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Latents, timesteps and conditioning of the tiny pipeline on a GPU."""
    noise = torch.Generator("cuda").manual_seed(seed)
    return (
        torch.randn(rows, 4, 8, 8, generator=noise, device="cuda"),
        torch.linspace(1, 999, rows, device="cuda"),
        {"text": torch.randn(rows, 16, 32, generator=noise, device="cuda")},
    )


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


def flavour_here(flavour: str) -> str:
    """Skips where the flavour is not installed or does not know this GPU."""
    pytest.importorskip(FLAVOURS[flavour])
    try:
        resolve_target(flavour, None)
    except EngineError as error:
        pytest.skip(str(error))
    return flavour
