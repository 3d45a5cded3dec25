"""Torch for speed: its layouts, compiled calls and CUDA graphs compute what the plain network computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engines_helpers import HALF_ERROR, gauss, on_cuda, relative

from engines import Bundle, build, load
from engines.backends.torch_compiled import compiled, for_speed, torch_device
from engines.backends.torch_eager import Reference, eager, load_modules
from engines.calls import Calls
from engines.certificate import read_certificate
from engines.errors import EngineError
from engines.loader import open_bundle
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


def test_a_mode_of_compiling_is_refused_where_nothing_is_compiled(
    torch_bundle: Bundle, model: Path, tmp_path: Path
) -> None:
    """Neither a build nor a load takes it in silence."""
    with pytest.raises(EngineError, match=r"for the backend torch on CUDA, and this is onnxruntime: leave it out"):
        load(torch_bundle.folder, "onnxruntime", compile_mode="default")
    for backend, target, named in (("onnxruntime", None, "onnxruntime"), ("torch", "cpu", "torch on a CPU")):
        with pytest.raises(EngineError, match=f"this is {named}: leave it out"):
            build(model, tmp_path / "out", backend=backend, target=target, rows=2, compile_mode="default")
    with pytest.raises(EngineError, match="this is torch on a CPU"):
        load(torch_bundle.folder, device="cpu", compile_mode="default")


def test_a_bundle_is_compiled_by_its_own_mode_or_by_the_one_asked_for(
    torch_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    modules = load_modules(torch_bundle.folder)

    def compiles(_: object, spec: object, device: object, mode: str) -> Calls:
        asked.append(mode)
        return replace(eager(modules, torch_bundle.manifest.spec, CPU), device=torch.device("cuda"))

    monkeypatch.setattr("engines.backends.torch_compiled.USUAL_MODE", "autotune")
    monkeypatch.setattr("engines.backends.torch_compiled.torch_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr("engines.backends.torch_compiled.require_on_gpu", lambda *_: None)
    monkeypatch.setattr("engines.backends.torch_compiled.keep_kernels", lambda: None)
    monkeypatch.setattr("engines.backends.torch_compiled.load_lowered", lambda *_: None)
    monkeypatch.setattr("engines.backends.torch_compiled.compiled", compiles)
    own = torch_bundle.manifest.model_copy(update={"compile_mode": "default"})
    opened = [
        open_bundle(torch_bundle),
        open_bundle(replace(torch_bundle, manifest=own)),
        open_bundle(replace(torch_bundle, manifest=own), compile_mode="autotune"),
    ]
    assert asked == [engine.compile_mode for engine in opened] == ["autotune", "default", "autotune"]


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
    certificate = read_certificate(built)
    assert torch.cuda.get_device_name(0) in certificate.ran_on
    assert all(e < HALF_ERROR for errors in certificate.components.values() for e in errors.values())


@pytest.mark.gpu
def test_a_recorded_unet_answers_for_what_it_is_given(model: Path, tmp_path: Path) -> None:
    """Replays with other inputs, short batches and no waiting in between: nothing stale, nothing overwritten."""
    built = build(model, tmp_path / "out", backend="torch", precision="fp32", rows=4, allow_parity_failure=True)
    engine, reference = load(built.folder), Reference(model, built, torch.device("cuda:0"))
    outs = [(engine.denoise(*on_cuda(rows, seed)), rows, seed) for seed, rows in enumerate((4, 3, 9, 4))]
    for out, rows, seed in outs:
        assert relative(out, reference.denoise(*on_cuda(rows, seed))) < 1e-4
