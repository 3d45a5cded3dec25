"""TensorRT engine files are compiled for real, without a GPU; weights are replaced on one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from engines_helpers import FLAVOURS, HALF_ERROR, flavour_here

from engines import Bundle, build
from engines.backends.tensorrt import library, quiet_log, resolve_target
from engines.certificate import read_certificate
from engines.checkpoint.weights import load_part
from engines.compile.onnx_edits import for_tensorrt
from engines.compile.onnx_export import DenoiserRows
from engines.compile.onnx_graph import write_graph
from engines.compile.precision import lower
from engines.compile.tensorrt_build import compile_graph, refittable, static_profile, strongly_typed
from engines.errors import EngineError
from engines.pipeline_spec import read_spec

pytest.importorskip("tensorrt_rtx_bindings")


@pytest.mark.slow
@pytest.mark.parametrize("sm", ["sm_80", "sm_89", "sm_120"])
def test_the_built_in_pipelines_unet_compiles(random_pipeline: Path, tmp_path: Path, sm: str) -> None:
    """At its real shape; the size of the file shows that the weights are in it."""
    spec, unet = read_spec(random_pipeline), lower(load_part(random_pipeline, "unet"), torch.float16)
    side = spec.latent_size
    args = (
        torch.randn(2, spec.unet_in_channels, side, side),
        torch.tensor([3.0, 7.0]),
        torch.randn(2, *spec.conditioning["text"]),
    )
    names = ["sample", "timesteps", "encoder_hidden_states"]
    write_graph(DenoiserRows(unet, spec, torch.float16), args, names, ["out_sample"], tmp_path / "rows.onnx")
    compiled = compile_graph(tmp_path / "rows.onnx", resolve_target("tensorrt-rtx", sm), 32)
    assert len(compiled) > sum(p.numel() for p in unet.parameters())


def test_an_engine_file_is_for_one_shape(bundle: Bundle) -> None:
    """The profile, read back from the library, has no range of batch rows, which would cost speed."""
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


def test_refitting_needs_the_gpu(model: Path, bundle: Bundle, half: Bundle, tmp_path: Path) -> None:
    """Both to build for it (TensorRT-RTX 1.7 fails deep inside without one) and to do it; each is refused at once."""
    target = resolve_target("tensorrt-rtx", "sm_89")
    with pytest.raises(EngineError, match="builds refittable engine files on a GPU only"):
        build(model, tmp_path / "out", backend="tensorrt-rtx", target="sm_89", refit=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EngineError, match="no CUDA driver is here"):
        refittable(half, half.manifest, target)
    with pytest.raises(EngineError, match="have rows 4, not 8"):
        refittable(half, half.manifest.model_copy(update={"rows": 8}), target)
    with pytest.raises(EngineError, match="have weights in 8 bits none, not text_encoder"):
        refittable(half, half.manifest.model_copy(update={"int8": ("text_encoder",)}), target)
    with pytest.raises(EngineError, match="has no tensorrt-rtx engine files to refit"):
        refittable(bundle, half.manifest, target)


@pytest.mark.parametrize("sm", ["sm_80", "sm_120"])
def test_other_targets_compile(bundle: Bundle, sm: str) -> None:
    compiled = compile_graph(bundle.folder / "unet" / "rows.onnx", resolve_target("tensorrt-rtx", sm), 4)
    assert len(compiled) > (bundle.folder / "unet" / "model.onnx.data").stat().st_size // 2


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="cannot read"):
        compile_graph(tmp_path / "model.onnx", resolve_target("tensorrt-rtx", "sm_89"), 4)


@pytest.mark.gpu
@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_refitted_engine_files_hold_the_new_weights_only(
    model: Path, make_model: Callable[..., Path], tmp_path: Path, flavour: str
) -> None:
    """The certificate compares with the new model: a weight of the old model would show."""
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
    errors = read_certificate(new).components
    assert all(e < HALF_ERROR for kinds in errors.values() for e in kinds.values())
