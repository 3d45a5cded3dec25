"""The torch engine: the layouts made for speed compute what the plain ones do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engines import Bundle
from engines.backends.cuda_graph import captured
from engines.backends.torch_eager import compiled, copy_weights, eager, for_speed, load_modules, torch_device
from engines.compile.precision import Float32Norm, fits_half, lower
from engines.errors import EngineError
from engines.pipeline_spec import read_spec

CPU = torch.device("cpu")


def gauss(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def test_the_fast_layout_changes_only_the_rounding(model: Path) -> None:
    spec = read_spec(model)
    plain = eager(load_modules(model), spec, CPU)
    fast = eager(for_speed(load_modules(model)), spec, CPU)
    args = gauss(2, 4, 8, 8), torch.tensor([3.0, 900.0]), gauss(2, 16, 32)
    torch.testing.assert_close(fast.unet(*args), plain.unet(*args), rtol=1e-3, atol=1e-5)
    assert (fast.decode(args[0]).int() - plain.decode(args[0]).int()).abs().max() <= 1


@pytest.mark.slow
def test_the_compiled_calls_agree(model: Path) -> None:
    """Both networks that are compiled, with tensors as a caller makes them and as a run in inference mode does."""
    spec = read_spec(model)
    plain, fast = eager(load_modules(model), spec, CPU), compiled(load_modules(model), spec, CPU, mode="default")
    args = gauss(2, 4, 8, 8), torch.tensor([3.0, 900.0]), gauss(2, 16, 32)
    for arrays in (args, tuple(map(copied, args))):
        torch.testing.assert_close(fast.unet(*arrays), plain.unet(*arrays), rtol=1e-3, atol=1e-4)
        assert (fast.decode(arrays[0]).int() - plain.decode(arrays[0]).int()).abs().max() <= 1


@torch.inference_mode()
def copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone()


@pytest.mark.gpu
def test_a_captured_step_replays_what_it_recorded() -> None:
    """With new inputs and new coefficients: nothing stale is replayed."""
    x, scale = gauss(4, 4).cuda(), torch.tensor(2.0, device="cuda")
    step = captured(lambda a, s: a * s + 1, x, scale)
    for factor in (2.0, 5.0):
        y = torch.randn_like(x)
        torch.testing.assert_close(step(y, scale.fill_(factor)), y * factor + 1)


def test_without_cuda_a_function_stays_as_it_is() -> None:
    assert captured(torch.neg, gauss(2)) is torch.neg


def test_half_precision_keeps_its_norms_in_float32(model: Path) -> None:
    unet = load_modules(model, "fp16").unet
    norms = [m for m in unet.modules() if isinstance(m, Float32Norm)]
    assert norms
    assert all(m.norm.weight.dtype == torch.float32 for m in norms)
    assert unet.conv_in.weight.dtype == torch.float16


def test_bf16_keeps_the_image_encoder_in_float32_in_memory_and_on_disk(model: Path, tmp_path: Path) -> None:
    """Images encoded in bf16 are more than 1 % off: no certificate allows that."""
    from safetensors.torch import load_file

    vae = load_modules(model, "bf16").vae
    kinds = {
        "encoder": torch.float32,
        "quant_conv": torch.float32,
        "decoder": torch.bfloat16,
        "post_quant_conv": torch.bfloat16,
    }
    assert {name: next(p.dtype for p in getattr(vae, name).parameters() if p.ndim > 1) for name in kinds} == kinds
    copy_weights(model, tmp_path, "bf16")
    (weights,) = (tmp_path / "vae").glob("*.safetensors")
    assert {name.split(".")[0]: value.dtype for name, value in load_file(weights).items()} == kinds


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


def test_an_unknown_or_missing_device_is_named(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="unknown device 'gpu'"):
        torch_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="no CUDA driver here"):
            torch_device("cuda")
