"""The ONNX Runtime engine gives what torch gives, and says so when it cannot run where it was told to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel

from engines import Bundle, build, load
from engines.backends.onnxruntime import Place, Session, check_assignment, shares
from engines.backends.torch_eager import Reference
from engines.certificate import read_certificate
from engines.compile.onnx_export import write_graph
from engines.compile.spatial_unet import SpatialUNet
from engines.errors import EngineError


@pytest.fixture(scope="module")
def reference(model: Path, bundle: Bundle) -> Reference:
    return Reference(model, bundle, torch.device("cpu"))


@pytest.fixture(scope="module")
def graph_of_16(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Path, UNet2DConditionModel]:
    """The pixels-first graph of a UNet on maps of 16x16 and 8x8, and the UNet: one attention, to be exported soon."""
    config = UNet2DConditionModel.load_config(model / "unet")
    unet = UNet2DConditionModel.from_config(
        config, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2
    ).eval()
    path = tmp_path_factory.mktemp("graph") / "cpu.onnx"
    args = gauss(2, 4, 16, 16), torch.tensor([3.0, 7.0]), gauss(2, 16, 32)
    names = ["sample", "timesteps", "encoder_hidden_states"]
    write_graph(SpatialUNet(unet, 16), args, names, "out_sample", path, "cpu.onnx.data")
    return path, unet


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
        plain.calls.text,
        Session(bundle.folder / "unet" / "rows.onnx", plain.rows, Place("cpu", plain.device, 1)),
        plain.calls.decode,
        plain.calls.encode,
        plain.device,
    )
    args = gauss(4, 4, 8, 8), torch.full((4,), 500.0), gauss(4, 16, 32)
    torch.testing.assert_close(ours.unet(*args), plain.unet(*args), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_maps_of_16_run_pixels_first(graph_of_16: tuple[Path, UNet2DConditionModel], threads: int) -> None:
    """The exported graph against diffusers, on the maps that the built-in pipeline has and the bundle here has not."""
    path, unet = graph_of_16
    args = gauss(6, 4, 16, 16), torch.linspace(1, 999, 6), gauss(6, 16, 32)
    got = Session(path, 6, Place("cpu", torch.device("cpu"), threads))(*args)
    with torch.no_grad():
        expected = unet(*args, return_dict=False)[0]
    assert (got - expected).norm() / expected.norm() < 1e-5


@pytest.mark.slow
def test_the_built_in_pipeline_runs_pixels_first(random_pipeline: Path, tmp_path: Path) -> None:
    """At its own shapes: certified against torch with the fast graph, which the plain one agrees with."""
    built = build(random_pipeline, tmp_path / "out", rows=6)
    assert read_certificate(built.folder).passed
    args = gauss(6, 4, 16, 16), torch.linspace(1, 999, 6), gauss(6, 16, 64)
    fast, plain = (
        Session(built.folder / "unet" / name, 6, Place("cpu", torch.device("cpu"), 1))(*args).clone()
        for name in ("cpu.onnx", "rows.onnx")
    )
    assert (fast - plain).norm() / plain.norm() < 1e-5
    torch.testing.assert_close(load(built.folder, threads=1).unet(*args), fast, rtol=0, atol=0)


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


def test_wrong_options_are_named(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="unknown backend 'openvino'"):
        load(bundle.folder, backend="openvino")
    with pytest.raises(EngineError, match="rows must be 1 or more"):
        load(bundle.folder, rows=0)
    with pytest.raises(EngineError, match="has no torch weights"):
        load(bundle.folder, backend="torch")
    with pytest.raises(EngineError, match="has no tensorrt-rtx plans"):
        load(bundle.folder, backend="tensorrt-rtx")
