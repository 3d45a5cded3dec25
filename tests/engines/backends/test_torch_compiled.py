"""Torch for speed: its layouts, compiled calls and CUDA graphs compute what the plain network computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from engines_helpers import HALF_ERROR, gauss, on_cuda, relative

from engines import Bundle, build, load
from engines.backends.torch_compiled import compiled, for_speed, torch_device
from engines.backends.torch_eager import Reference, eager, load_modules
from engines.certificate import read_certificate
from engines.errors import EngineError
from engines.pipeline_spec import read_spec

CPU = torch.device("cpu")


def test_the_fast_layout_changes_only_the_rounding(model: Path) -> None:
    spec = read_spec(model)
    plain = eager(load_modules(model), spec, CPU)
    fast = eager(for_speed(load_modules(model)), spec, CPU)
    args = gauss(2, 4, 8, 8), torch.tensor([3.0, 900.0]), gauss(2, 16, 32)
    torch.testing.assert_close(fast.denoise(*args), plain.denoise(*args), rtol=1e-3, atol=1e-5)
    assert (fast.decode(args[0]).int() - plain.decode(args[0]).int()).abs().max() <= 1


@pytest.mark.slow
def test_the_compiled_calls_agree(model: Path) -> None:
    """Both networks that are compiled, with tensors as a caller makes them and as a run in inference mode does."""
    spec = read_spec(model)
    plain, fast = eager(load_modules(model), spec, CPU), compiled(load_modules(model), spec, CPU, mode="default")
    args = gauss(2, 4, 8, 8), torch.tensor([3.0, 900.0]), gauss(2, 16, 32)
    for arrays in (args, tuple(map(copied, args))):
        torch.testing.assert_close(fast.denoise(*arrays), plain.denoise(*arrays), rtol=1e-3, atol=1e-4)
        assert (fast.decode(arrays[0]).int() - plain.decode(arrays[0]).int()).abs().max() <= 1


@torch.inference_mode()
def copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone()


def test_an_unknown_or_missing_device_is_named(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="unknown device 'gpu'"):
        torch_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="no CUDA driver here"):
            torch_device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_compiled_engine_is_certified_on_cuda(model: Path, tmp_path: Path, precision: str) -> None:
    built = build(model, tmp_path / "out", backend="torch", precision=precision, rows=4, allow_parity_failure=True)
    certificate = read_certificate(built.folder)
    assert torch.cuda.get_device_name(0) in certificate.ran_on
    assert all(e < HALF_ERROR for errors in certificate.components.values() for e in errors.values())


@pytest.mark.gpu
def test_a_recorded_unet_answers_for_what_it_is_given(model: Path, tmp_path: Path) -> None:
    """Replays with other inputs, short batches and no waiting in between: nothing stale, nothing overwritten."""
    built = build(model, tmp_path / "out", backend="torch", precision="fp32", rows=4, allow_parity_failure=True)
    engine, reference = load(built.folder), Reference(model, built, torch.device("cuda:0"))
    outs = [(engine.denoise(*on_cuda(rows, seed)), rows, seed) for seed, rows in enumerate((4, 3, 9, 4))]
    for out, rows, seed in outs:
        assert relative(out, reference.denoise(*on_cuda(rows, seed))) < 5e-3  # TF32 in convolutions
