"""The ONNX Runtime engine gives what torch gives, and refuses to run on another provider than was asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from engines_helpers import gauss, on_cuda, relative

from engines import Bundle, load
from engines.backends.onnxruntime import Place, Session, check_assignment, shares
from engines.backends.torch_eager import Reference
from engines.errors import EngineError


@pytest.fixture(scope="module")
def reference(model: Path, bundle: Bundle) -> Reference:
    return Reference(model, bundle, torch.device("cpu"))


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 9])
def test_any_number_of_rows_gives_the_references_answer(bundle: Bundle, reference: Reference, rows: int) -> None:
    engine = load(bundle.folder)
    args = gauss(rows, 4, 8, 8), torch.linspace(1, 999, rows), {"text": gauss(rows, 16, 32)}
    torch.testing.assert_close(engine.denoise(*args), reference.denoise(*args), rtol=1e-3, atol=1e-4)


def test_every_call_agrees_with_torch(bundle: Bundle, reference: Reference) -> None:
    engine = load(bundle.folder)
    prompts = ["An image of plaque, dark skin", ""]
    torch.testing.assert_close(engine.encode_text(prompts), reference.encode_text(prompts), rtol=1e-4, atol=1e-5)
    latents = gauss(3, 4, 8, 8)
    images = engine.decode(latents)
    assert images.dtype == torch.uint8
    assert images.shape == (3, 64, 64, 3)
    assert (images.int() - reference.decode(latents).int()).abs().max() <= 1
    torch.testing.assert_close(engine.encode(images), reference.encode(images), rtol=1e-3, atol=1e-4)


def test_rows_change_nothing_but_time(bundle: Bundle) -> None:
    args = gauss(6, 4, 8, 8), torch.full((6,), 300.0), {"text": gauss(6, 16, 32)}
    torch.testing.assert_close(
        load(bundle.folder, rows=2).denoise(*args), load(bundle.folder, rows=6).denoise(*args), rtol=1e-4, atol=1e-5
    )


def test_a_missing_provider_is_an_error_and_not_a_slow_run(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="has no CUDAExecutionProvider"):
        load(bundle.folder, device="cuda")
    with pytest.raises(EngineError, match="unknown device 'tpu'"):
        load(bundle.folder, device="tpu")


def test_shared_out_rows_are_the_same_rows(bundle: Bundle) -> None:
    """Cores that each run their own rows give the numbers of all cores on one call, in the same order."""
    path, args = bundle.folder / "unet" / "rows.onnx", (gauss(6, 4, 8, 8), torch.linspace(1, 999, 6), gauss(6, 16, 32))
    outs = {}
    for threads, parts in ((1, 1), (2, 2), (3, 3)):
        session = Session(path, 6, Place("cpu", torch.device("cpu"), threads))
        assert session.shares == parts
        outs[threads] = session(*args).clone()
    for out in outs.values():
        torch.testing.assert_close(out, outs[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rows", "cores", "parts"), [(32, 2, 2), (3, 2, 1), (1, 8, 1), (6, 4, 2), (12, 4, 4)])
def test_shares_are_equal_in_rows_and_cores(rows: int, cores: int, parts: int) -> None:
    assert shares(rows, cores) == parts


def test_heavy_nodes_on_another_provider_are_an_error(bundle: Bundle) -> None:
    """ONNX Runtime may take a GPU's session and leave its convolutions on the CPU; shapes may stay there."""
    session = Session(bundle.folder / "vae_decoder" / "images.onnx", 1, Place("cpu", torch.device("cpu"), 1)).session
    check_assignment(session, "CPUExecutionProvider", "x")
    with pytest.raises(EngineError, match="of x would run on CPUExecutionProvider instead of CUDAExecutionProvider"):
        check_assignment(session, "CUDAExecutionProvider", "x")

    class Claims:
        """A session that names CUDA first; its nodes are the real one's."""

        def __init__(self, nodes: list[str]) -> None:
            part = SimpleNamespace(
                ep_name="CPUExecutionProvider", get_nodes=lambda: [SimpleNamespace(op_type=name) for name in nodes]
            )
            self.get_provider_graph_assignment_info = lambda: [part]
            self.get_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]

    check_assignment(Claims(["Shape", "Gather"]), "CUDAExecutionProvider", "x")  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="Conv of x would run on the CPU instead of CUDAExecutionProvider"):
        check_assignment(Claims(["Shape", "Conv"]), "CUDAExecutionProvider", "x")  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_onnxruntime_on_the_gpu_keeps_its_order(model: Path, bundle: Bundle, device: str) -> None:
    """Sessions run on a stream of their own without the CPU waiting; torch before and after must be ordered."""
    import onnxruntime

    if not any(p.lower().startswith(device) for p in onnxruntime.get_available_providers()):
        pytest.skip(f"this ONNX Runtime has no {device} provider")
    engine, reference = load(bundle.folder, device=device), Reference(model, bundle, torch.device("cuda:0"))
    for seed in range(8):
        latents, times, words = on_cuda(4, seed)
        big = torch.randn(4000, 4000, device="cuda") @ torch.randn(4000, 4000, device="cuda")  # keeps the stream busy
        out = engine.denoise(latents + 0 * big[0, 0], times, words).clone()
        assert relative(out, reference.denoise(latents, times, words)) < 5e-3
