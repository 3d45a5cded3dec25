"""The ONNX Runtime engine gives what torch gives, and says so when it cannot run where it was told to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engines import Bundle, load
from engines.errors import EngineError
from engines.onnxruntime import Place, Session, check_assignment, shares
from engines.torch import Reference


@pytest.fixture(scope="module")
def reference(model: Path, bundle: Bundle) -> Reference:
    return Reference(model, bundle, torch.device("cpu"))


def gauss(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 9])
def test_any_number_of_rows_gives_the_references_answer(bundle: Bundle, reference: Reference, rows: int) -> None:
    engine = load(bundle.folder)
    args = gauss(rows, 4, 8, 8), torch.linspace(1, 999, rows), gauss(rows, 16, 32)
    torch.testing.assert_close(engine.unet(*args), reference.unet(*args), rtol=1e-3, atol=1e-4)


def test_every_call_agrees_with_torch(bundle: Bundle, reference: Reference) -> None:
    engine = load(bundle.folder)
    ids = engine.tokenize(["An image of plaque, dark skin", ""])
    torch.testing.assert_close(engine.encode_text(ids), reference.encode_text(ids), rtol=1e-4, atol=1e-5)
    latents = gauss(3, 4, 8, 8)
    images = engine.decode(latents)
    assert images.dtype == torch.uint8
    assert images.shape == (3, 64, 64, 3)
    assert (images.int() - reference.decode(latents).int()).abs().max() <= 1
    torch.testing.assert_close(engine.encode(images), reference.encode(images), rtol=1e-3, atol=1e-4)


def test_the_small_unet_runs_pixels_first(bundle: Bundle, tmp_path: Path) -> None:
    """The faster graph is used, not only written: an unreadable one is noticed."""
    assert (bundle.folder / "unet" / "cpu.onnx").exists()
    ours, plain = load(bundle.folder), load(bundle.folder)
    plain.calls = type(plain.calls)(
        plain.calls.text, Session(bundle.folder / "unet" / "rows.onnx", plain.rows, Place("cpu", plain.device)),
        plain.calls.decode, plain.calls.encode, plain.device,
    )
    args = gauss(4, 4, 8, 8), torch.full((4,), 500.0), gauss(4, 16, 32)
    torch.testing.assert_close(ours.unet(*args), plain.unet(*args), rtol=1e-3, atol=1e-4)


def test_rows_change_nothing_but_time(bundle: Bundle) -> None:
    args = gauss(6, 4, 8, 8), torch.full((6,), 300.0), gauss(6, 16, 32)
    torch.testing.assert_close(
        load(bundle.folder, rows=2).unet(*args), load(bundle.folder, rows=6).unet(*args), rtol=1e-4, atol=1e-5
    )


def test_a_missing_provider_is_an_error_and_not_a_slow_run(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="has no CUDAExecutionProvider"):
        load(bundle.folder, device="cuda")
    with pytest.raises(EngineError, match="unknown device 'tpu'"):
        load(bundle.folder, device="tpu")


def test_shared_out_rows_are_the_same_rows(bundle: Bundle) -> None:
    """Cores that each run their own rows, beside all of them working on one call: the same numbers, in order."""
    path, args = bundle.folder / "unet" / "cpu.onnx", (gauss(6, 4, 8, 8), torch.linspace(1, 999, 6), gauss(6, 16, 32))
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
    session = Session(bundle.folder / "vae_decoder" / "images.onnx", 1, Place("cpu", torch.device("cpu"))).session
    check_assignment(session, "CPUExecutionProvider", "x")
    with pytest.raises(EngineError, match="of x would run on CPUExecutionProvider instead of CUDAExecutionProvider"):
        check_assignment(session, "CUDAExecutionProvider", "x")

    class Claims:
        """A session that names CUDA first; its nodes are the real one's."""

        def __init__(self, nodes: list[str]) -> None:
            part = SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: [
                SimpleNamespace(op_type=name) for name in nodes])
            self.get_provider_graph_assignment_info = lambda: [part]
            self.get_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]

    check_assignment(Claims(["Shape", "Gather"]), "CUDAExecutionProvider", "x")  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="Conv of x would run on the CPU instead of CUDAExecutionProvider"):
        check_assignment(Claims(["Shape", "Conv"]), "CUDAExecutionProvider", "x")  # type: ignore[arg-type]


def test_wrong_options_are_named(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="unknown backend 'openvino'"):
        load(bundle.folder, backend="openvino")
    with pytest.raises(EngineError, match="rows must be 1 or more"):
        load(bundle.folder, rows=0)
    with pytest.raises(EngineError, match="has no torch weights"):
        load(bundle.folder, backend="torch")
    with pytest.raises(EngineError, match="has no tensorrt-rtx plans"):
        load(bundle.folder, backend="tensorrt-rtx")
