"""Half precision: norms stay in float32, and what overflows is noticed."""

from __future__ import annotations

from pathlib import Path

import torch
from engines_helpers import gauss

from engines.backends.torch_eager import load_modules
from engines.compile.precision import Float32Norm, fits_half, lower


def test_half_precision_keeps_its_norms_in_float32(model: Path) -> None:
    unet = load_modules(model, "fp16").denoiser
    norms = [m for m in unet.modules() if isinstance(m, Float32Norm)]
    assert norms
    assert all(m.norm.weight.dtype == torch.float32 for m in norms)
    assert unet.conv_in.weight.dtype == torch.float16


def test_norms_do_not_overflow_in_half_precision() -> None:
    """fp16 sums of squares of values near 1000 are infinite; ours are not."""
    norm = lower(torch.nn.Sequential(torch.nn.GroupNorm(1, 4)), torch.float16)
    assert torch.isfinite(norm(torch.full((1, 4, 8, 8), 1e3).half() * torch.randn(1, 4, 8, 8).sign().half())).all()


def test_a_network_that_overflows_fp16_is_noticed() -> None:
    linear = torch.nn.Linear(4, 4)
    assert fits_half(linear, gauss(2, 4))
    torch.nn.init.constant_(linear.weight, 1e5)
    assert not fits_half(linear, torch.ones(2, 4))
    torch.nn.init.constant_(linear.weight, torch.nan)  # which a comparison passes over
    assert not fits_half(linear, torch.ones(2, 4))
