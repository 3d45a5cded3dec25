"""What only a GPU can show: compiled engines, plans and CUDA sessions agree with float32 torch, run after run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engines import Bundle, build, load
from engines.backends.tensorrt import resolve_target
from engines.backends.torch_eager import Reference
from engines.certificate import read_certificate
from engines.errors import EngineError

pytestmark = pytest.mark.gpu

FLAVOURS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}
HALF_ERROR = 3e-2  # of an untrained network's output, relative


def flavour_here(flavour: str) -> str:
    """Skips where the flavour is not installed or does not know this GPU."""
    pytest.importorskip(FLAVOURS[flavour])
    try:
        resolve_target(flavour, None)
    except EngineError as error:
        pytest.skip(str(error))
    return flavour


def inputs(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    noise = torch.Generator("cuda").manual_seed(seed)
    return (
        torch.randn(rows, 4, 8, 8, generator=noise, device="cuda"),
        torch.linspace(1, 999, rows, device="cuda"),
        torch.randn(rows, 16, 32, generator=noise, device="cuda"),
    )


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_compiled_engine_is_certified_on_cuda(model: Path, tmp_path: Path, precision: str) -> None:
    built = build(model, tmp_path / "out", backend="torch", precision=precision, rows=4, allow_parity_failure=True)
    certificate = read_certificate(built.folder)
    assert torch.cuda.get_device_name(0) in certificate.ran_on
    assert all(e < HALF_ERROR for errors in certificate.components.values() for e in errors.values())


def test_a_recorded_unet_answers_for_what_it_is_given(model: Path, tmp_path: Path) -> None:
    """Replays with other inputs, short batches and no waiting in between: nothing stale, nothing overwritten."""
    built = build(model, tmp_path / "out", backend="torch", precision="fp32", rows=4, allow_parity_failure=True)
    engine, reference = load(built.folder), Reference(model, built, torch.device("cuda:0"))
    outs = [(engine.unet(*inputs(rows, seed)), rows, seed) for seed, rows in enumerate((4, 3, 9, 4))]
    for out, rows, seed in outs:
        assert relative(out, reference.unet(*inputs(rows, seed))) < 5e-3  # TF32 in convolutions


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_onnxruntime_on_the_gpu_keeps_its_order(model: Path, bundle: Bundle, device: str) -> None:
    """Sessions run on a stream of their own without the CPU waiting; torch before and after must be ordered."""
    import onnxruntime

    if not any(p.lower().startswith(device) for p in onnxruntime.get_available_providers()):
        pytest.skip(f"this ONNX Runtime has no {device} provider")
    engine, reference = load(bundle.folder, device=device), Reference(model, bundle, torch.device("cuda:0"))
    for seed in range(8):
        latents, times, words = inputs(4, seed)
        big = torch.randn(4000, 4000, device="cuda") @ torch.randn(4000, 4000, device="cuda")  # keeps the stream busy
        out = engine.unet(latents + 0 * big[0, 0], times, words).clone()
        assert relative(out, reference.unet(latents, times, words)) < 5e-3


@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_plans_run_and_are_certified(model: Path, tmp_path: Path, flavour: str) -> None:
    built = build(
        model, tmp_path / "out", backend=flavour_here(flavour), precision="fp16", rows=4, allow_parity_failure=True
    )
    certificate = read_certificate(built.folder)
    assert certificate.covers_plans
    assert all(e < HALF_ERROR for errors in certificate.components.values() for e in errors.values())
    engine = load(built.folder)
    first = engine.unet(*inputs(4, 1))
    engine.unet(*inputs(4, 2))
    torch.testing.assert_close(engine.unet(*inputs(4, 1)), first, rtol=0, atol=0)


@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_refitted_plans_hold_the_new_weights_only(
    model: Path, make_model: Callable[..., Path], tmp_path: Path, flavour: str
) -> None:
    """The certificate is against the new model: a weight that stayed the old one would show."""
    old = build(
        model,
        tmp_path / "old",
        backend=flavour_here(flavour),
        precision="fp16",
        rows=4,
        refit=True,
        allow_parity_failure=True,
    )
    new = build(
        make_model(seed=7),
        tmp_path / "new",
        backend=flavour,
        precision="fp16",
        rows=4,
        refit_from=old.folder,
        allow_parity_failure=True,
    )
    errors = read_certificate(new.folder).components
    assert all(e < HALF_ERROR for kinds in errors.values() for e in kinds.values())


def test_too_many_rows_for_the_memory_is_one_line(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="ran out of GPU memory: use fewer --rows"):
        build(model, tmp_path / "out", backend="torch", rows=20_000_000)
    assert list(tmp_path.iterdir()) == []
