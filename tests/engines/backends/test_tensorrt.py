"""Plans are compiled for real, here, without a GPU; a plan is hashed before it is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engines import Bundle, build, load
from engines.backends.tensorrt import check_gpu, check_graphs, library, quiet_log, resolve_target
from engines.bundle import Artefact
from engines.certificate import read_certificate
from engines.compile.onnx_edits import for_tensorrt
from engines.compile.tensorrt_build import compile_graph, refittable_plans, static_profile, strongly_typed
from engines.errors import EngineError

pytest.importorskip("tensorrt_rtx_bindings")


@pytest.fixture(scope="module")
def half(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny pipeline in fp16 with plans for sm_89."""
    out = tmp_path_factory.mktemp("plans") / "bundle"
    return build(model, out, backend="tensorrt-rtx", target="sm_89", precision="fp16", rows=4)


def test_a_bundle_holds_a_plan_of_each_part_with_its_keys(half: Bundle) -> None:
    plans = half.find("plan", "tensorrt-rtx")
    assert {a.component for a in plans} == {"text_encoder", "unet", "vae_decoder", "vae_encoder"}
    unet = next(a for a in plans if a.component == "unet")
    assert unet.path == "plans/tensorrt-rtx-sm_89-fp16-b4-64/unet.plan"
    assert (unet.rows, unet.size, unet.target, unet.precision) == (4, 64, "sm_89", "fp16")
    assert unet.builder is not None
    assert unet.builder.startswith("tensorrt-rtx 1.")
    graph = next(a for a in half.manifest.artefacts if a.path == "unet/rows.onnx")
    assert unet.graph_sha256 == graph.sha256


def test_half_precision_is_certified_by_its_graphs(half: Bundle) -> None:
    certificate = read_certificate(half.folder)
    assert certificate.passed
    assert not certificate.covers_plans
    assert 1e-6 < certificate.components["unet"]["real"] < 1e-2
    half.verify()


@pytest.mark.slow
@pytest.mark.parametrize("sm", ["sm_80", "sm_89", "sm_120"])
def test_the_built_in_pipelines_unet_compiles(random_pipeline: Path, tmp_path: Path, sm: str) -> None:
    """At its real shape, with the plan's size as a sign that its weights are in it."""
    from engines.backends.torch_eager import load_part
    from engines.compile.onnx_export import UNetRows, write_graph
    from engines.compile.precision import lower
    from engines.pipeline_spec import read_spec

    spec, unet = read_spec(random_pipeline), lower(load_part(random_pipeline, "unet"), torch.float16)
    side = spec.latent_size
    args = (
        torch.randn(2, spec.unet_in_channels, side, side),
        torch.tensor([3.0, 7.0]),
        torch.randn(2, spec.max_length, spec.text_dim),
    )
    names = ["sample", "timesteps", "encoder_hidden_states"]
    write_graph(UNetRows(unet, torch.float16), args, names, "out_sample", tmp_path / "rows.onnx")
    plan = compile_graph(tmp_path / "rows.onnx", resolve_target("tensorrt-rtx", sm), 32)
    assert len(plan) > sum(p.numel() for p in unet.parameters())


def test_a_plan_is_for_one_shape(bundle: Bundle) -> None:
    """What the library is asked for, read back from it: no range of rows, which would cost speed."""
    trt = library("tensorrt-rtx")
    builder = trt.Builder(quiet_log(trt))
    network = builder.create_network(strongly_typed(trt))
    graph = bundle.folder / "unet" / "rows.onnx"
    assert trt.OnnxParser(network, quiet_log(trt)).parse(for_tensorrt(graph), str(graph))
    profile = static_profile(builder, network, 6)
    shapes = {
        network.get_input(i).name: profile.get_shape(network.get_input(i).name) for i in range(network.num_inputs)
    }
    assert {name: [tuple(s) for s in three] for name, three in shapes.items()} == {
        "sample": [(6, 4, 8, 8)] * 3,
        "timesteps": [(6,)] * 3,
        "encoder_hidden_states": [(6, 16, 32)] * 3,
    }


def test_a_plan_of_another_graph_is_refused(half: Bundle) -> None:
    plans = half.find("plan")
    check_graphs(half, plans)
    with pytest.raises(EngineError, match="compiled for another graph: other"):
        check_graphs(half, [plans[0].model_copy(update={"graph_sha256": "other"})])
    with pytest.raises(EngineError, match="compiled for another size: 512, and the bundle has 64"):
        check_graphs(half, [plans[0].model_copy(update={"size": 512})])


def test_refitting_needs_the_gpu(model: Path, bundle: Bundle, half: Bundle, tmp_path: Path) -> None:
    """To build for it (TensorRT-RTX 1.7 fails deep inside without one) and to do it; both are said at once."""
    target = resolve_target("tensorrt-rtx", "sm_89")
    with pytest.raises(EngineError, match="builds refittable plans on a GPU only"):
        build(model, tmp_path / "out", backend="tensorrt-rtx", target="sm_89", refit=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EngineError, match="no CUDA driver is here"):
        refittable_plans(half, target, "fp16", 4, 64)
    with pytest.raises(EngineError, match="have rows 4, not 8"):
        refittable_plans(half, target, "fp16", 8, 64)
    with pytest.raises(EngineError, match="has no tensorrt-rtx plans to refit"):
        refittable_plans(bundle, target, "fp16", 4, 64)


@pytest.mark.parametrize("sm", ["sm_80", "sm_120"])
def test_other_targets_compile(bundle: Bundle, sm: str) -> None:
    plan = compile_graph(bundle.folder / "unet" / "rows.onnx", resolve_target("tensorrt-rtx", sm), 4)
    assert len(plan) > (bundle.folder / "unet" / "model.onnx.data").stat().st_size // 2


def test_unknown_targets_are_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineError, match="cannot compile for sm_90; expected one of sm_75, sm_80"):
        resolve_target("tensorrt-rtx", "sm_90")
    with pytest.raises(EngineError, match="give --target"):
        resolve_target("tensorrt-rtx", None)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="cannot read"):
        compile_graph(tmp_path / "model.onnx", resolve_target("tensorrt-rtx", "sm_89"), 4)


def test_an_altered_plan_is_refused_before_the_driver_is_asked(half: Bundle) -> None:
    path = next(half.path(a) for a in half.find("plan") if a.component == "unet")
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:100] + bytes([whole[100] ^ 0xFF]) + whole[101:])
        with pytest.raises(EngineError, match=r"unet\.plan hashes to"):
            load(half.folder)
    finally:
        path.write_bytes(whole)


def test_a_machine_without_a_driver_says_so(half: Bundle) -> None:
    with pytest.raises(EngineError, match="no CUDA driver is here"):
        load(half.folder)
    with pytest.raises(EngineError, match="compiled for 4 rows, not 8"):
        load(half.folder, rows=8)


@pytest.mark.parametrize(
    ("here", "builder", "named"),
    [
        (("sm_90", "NVIDIA H200", "13.0"), "tensorrt 11.1", "architecture: sm_89, and here is sm_90"),
        (("sm_89", "NVIDIA L4", "13.0"), "tensorrt 11.2", "builder: tensorrt 11.1, and here is tensorrt 11.2"),
        (("sm_89", "NVIDIA L40S", "13.0"), "tensorrt 11.1", "GPU: NVIDIA L4, and here is NVIDIA L40S"),
        (("sm_89", "NVIDIA L4", "12.8"), "tensorrt 11.1", "CUDA major version: 13, and here is 12"),
    ],
)
def test_a_mismatch_says_which(here: tuple[str, str, str], builder: str, named: str) -> None:
    plan = Artefact(
        path="unet.plan",
        sha256="",
        bytes=0,
        kind="plan",
        target="sm_89",
        builder="tensorrt 11.1",
        gpu="NVIDIA L4",
        driver="13.1",
    )
    with pytest.raises(EngineError, match=named):
        check_gpu(plan, builder, here)
    check_gpu(plan, "tensorrt 11.1", ("sm_89", "NVIDIA L4", "13.0"))


def test_the_other_flavour_says_what_to_install() -> None:
    with pytest.raises(EngineError, match=r"dermforge\[tensorrt\]"):
        resolve_target("tensorrt", None)
