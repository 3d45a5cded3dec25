"""FP8: which products are quantised, and how; the ranges are those of denoising; older GPUs are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from engines import Bundle, build
from engines.backends.tensorrt import GpuTarget, resolve_target
from engines.backends.torch_eager import eager, load_modules
from engines.certificate import allowed_error, read_certificate
from engines.compile.fp8 import LARGEST, PROMPTS, STEPS, calibrate, check_target, products, quantise, scale_for
from engines.compile.tensorrt_build import compile_graph
from engines.draw import draw
from engines.engine import Engine
from engines.errors import EngineError

# What depends on the latents: of each block its queries, keys and values in one, its output, and so on.
ROUNDED = ("attn1.to_q", "attn1.to_out.0", "attn2.to_q", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2")


@pytest.fixture(scope="module")
def bundle8(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny pipeline in fp8 with engine files for sm_89."""
    pytest.importorskip("tensorrt_rtx_bindings")
    out = tmp_path_factory.mktemp("float8") / "bundle"
    return build(model, out, backend="tensorrt-rtx", target="sm_89", precision="fp8", rows=4)


def graph_of(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load(bundle.folder / "unet" / name, load_external_data=False)


@given(largest=st.floats(0, 6e4))
def test_a_scale_is_the_smallest_power_of_two_that_reaches_the_largest_value(largest: float) -> None:
    """It is also a normal number in fp16, in which activations are divided by it."""
    scale, tiny = float(scale_for(largest)), float(np.finfo(np.float16).tiny)
    assert np.frexp(scale)[0] == 0.5
    assert scale * LARGEST >= largest
    assert scale == tiny or (scale > tiny and scale / 2 * LARGEST < largest)


@pytest.mark.parametrize("largest", [float("inf"), float("nan")])
def test_what_overflowed_in_the_calibration_gets_no_scale_that_hides_it(largest: float) -> None:
    """The certificate then finds NaN, and refuses."""
    assert not np.isfinite(scale_for(largest))


def test_a_product_is_rounded_as_torch_rounds(tmp_path: Path) -> None:
    """ONNX Runtime's pairs and torch's float8_e4m3fn: the same numbers, and values beyond the range are clipped."""
    noise = np.random.default_rng(0)
    weight = noise.standard_normal((32, 16)).astype(np.float16)
    x = noise.standard_normal((3, 5, 32)).astype(np.float16)
    x[0, 0, 0] = 100  # beyond what the calibration saw
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 23]>'
        "g (float16[n, 5, 32] sample) => (float16[n, 5, 16] y) { y = MatMul(sample, w) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "rows.onnx")
    quantise(tmp_path / "rows.onnx", {"sample": 4.0})
    got = ort.InferenceSession(tmp_path / "rows.onnx").run(None, {"sample": x})[0]

    def torch_rounds(values: np.ndarray, largest: float) -> torch.Tensor:
        scale = scale_for(largest).astype(values.dtype)
        cut = torch.from_numpy(values / scale).float().clamp(-LARGEST, LARGEST)
        return (cut.to(torch.float8_e4m3fn).float() * float(scale)).half().float()

    # Activations are divided by their scale in fp16, in the graph; weights in float32, beforehand.
    expected = torch_rounds(x, 4.0) @ torch_rounds(weight.astype(np.float32), float(np.abs(weight).max()))
    torch.testing.assert_close(torch.from_numpy(got).float(), expected, rtol=2e-3, atol=4e-3)
    assert (tmp_path / "rows.onnx.data").stat().st_size == weight.size


def test_the_ranges_are_those_of_whole_denoising_runs(model: Path, bundle: Bundle, bundle8: Bundle) -> None:
    """Float32 torch with hooks gives the same ranges: of every quantised input, and of none that text or time give."""
    prompts = [p.prompt for p in bundle8.manifest.spec.validation_prompts][:PROMPTS]
    modules = load_modules(model)
    reference = Engine(bundle8, "torch", 8, eager(modules, bundle8.manifest.spec, torch.device("cpu")))
    largest: dict[str, float] = {}

    def watch(name: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], None]:
        return lambda _, args: largest.update({name: max(largest.get(name, 0.0), float(args[0].abs().max()))})

    for name, module in modules.denoiser.named_modules():
        if name.endswith(ROUNDED):
            module.register_forward_pre_hook(watch(name))
    draw(reference, prompts, STEPS)
    expected = np.sort(list(largest.values()))
    full = calibrate(bundle, bundle.folder / "unet/rows.onnx", prompts)  # of the float32 graph, so closely
    assert len(full) == len(largest) > 0
    np.testing.assert_allclose(sorted(full.values()), expected, rtol=1e-3)

    graph = graph_of(bundle8, "rows.onnx").graph
    scales = {t.name: float(numpy_helper.to_array(t)) for t in graph.initializer if t.name.endswith("_scale")}
    reach = np.sort([scales[node.input[1]] * LARGEST for node in graph.node if node.op_type == "QuantizeLinear"])
    assert len(reach) == len(expected)
    assert np.all((reach >= 0.98 * expected) & (reach < 2.04 * expected))  # the next power of two, seen in fp16
    assert not (bundle8.folder / "unet" / "calibration.onnx").exists()


def test_only_products_with_what_derives_from_the_latents_are_quantised(bundle8: Bundle) -> None:
    """A weight takes one byte, in a file of its own; biases, convolutions and optimum's graph stay fp16."""
    plain, ours = graph_of(bundle8, "model.onnx"), graph_of(bundle8, "rows.onnx")
    chosen = list(products(plain.graph))
    assert 0 < len(chosen) < sum(n.op_type == "MatMul" for n in plain.graph.node)
    assert len(list(products(ours.graph))) == 0
    stored = {t.name: t for t in ours.graph.initializer if t.data_type == TensorProto.FLOAT8E4M3FN and t.dims}
    sizes = {t.name: int(np.prod(t.dims)) for t in plain.graph.initializer}
    data = bundle8.folder / "unet" / "rows.onnx.data"
    assert data.stat().st_size == sum(sizes[n.input[1]] for n in chosen) == sum(sizes[t[:-7]] for t in stored)
    assert not any(t.data_type == TensorProto.FLOAT8E4M3FN for t in plain.graph.initializer)
    convolutions = [n.input[1] for n in ours.graph.node if n.op_type == "Conv"]
    assert all(t.data_type == TensorProto.FLOAT16 for t in ours.graph.initializer if t.name in convolutions)


def test_the_certificate_shows_the_error(bundle8: Bundle) -> None:
    """The error is larger than fp16's, within a tenth, and only the UNet has it."""
    certificate = read_certificate(bundle8)
    assert certificate.passed
    assert certificate.precision == "fp8"
    assert all(2e-3 < error < 1e-1 for error in certificate.components["unet"].values())
    assert all(e < 1e-2 for part in ("text_encoder", "vae_decoder") for e in certificate.components[part].values())
    assert [allowed_error("unet", "fp8", part) for part in ("unet", "vae_decoder")] == [1e-1, 1e-2]


def test_an_engine_file_in_fp8_is_for_sm_89_and_its_graph_cannot_be_compiled_for_less(bundle8: Bundle) -> None:
    """The compiler itself finds E4M3 in the graph: nothing removed it."""
    file = bundle8.engine_files("tensorrt-rtx")["unet"]
    assert file.path == "plans/tensorrt-rtx-sm_89-fp8-b4-64/unet.plan"
    assert file.bytes > (bundle8.folder / "unet" / "rows.onnx.data").stat().st_size
    with pytest.raises(EngineError, match="fp8_e4m3"):
        compile_graph(bundle8.folder / "unet" / "rows.onnx", resolve_target("tensorrt-rtx", "sm_86"), 4)


def test_products_of_unlike_ranges_share_a_kernel_so_an_engine_file_is_smaller_than_in_fp16(tmp_path: Path) -> None:
    """A kernel is 130 kB of the file, and an operation fused with a rounding (here Gelu) has one for each scale."""
    pytest.importorskip("tensorrt_rtx_bindings")
    noise, depth, side = np.random.default_rng(0), 8, 256
    nodes = [f"x{i} = Gelu(y{i})  y{i + 1} = MatMul(x{i}, w{i})" for i in range(depth)]
    rows = f"float16[n, 64, {side}]"
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 23]>'
        f"g ({rows} sample) => ({rows} y{depth}) {{ y0 = Relu(sample) {' '.join(nodes)} }}"
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(noise.standard_normal((side, side)).astype(np.float16), f"w{i}") for i in range(depth)
    )
    graph, target = tmp_path / "rows.onnx", resolve_target("tensorrt-rtx", "sm_89")
    onnx.save(model, graph)
    half = len(compile_graph(graph, target, 4))
    quantise(graph, {f"x{i}": 1.8 + 0.2 * i for i in range(depth)})
    assert len(compile_graph(graph, target, 4)) < half


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"backend": "onnxruntime"}, "fp8 is for the tensorrt backends on sm_89 and later, not for onnxruntime"),
        ({"backend": "torch"}, "not for torch: use the backend tensorrt-rtx and the target sm_89"),
        ({"backend": "tensorrt-rtx", "target": "sm_86"}, "sm_86 has no fp8 products"),
        ({"backend": "tensorrt-rtx", "target": "sm_89", "refit": True}, "fp8 engine files are calibrated"),
    ],
)
def test_where_fp8_cannot_be_it_is_refused_before_the_work(
    model: Path, tmp_path: Path, options: dict[str, object], named: str
) -> None:
    if options["backend"] == "tensorrt-rtx":
        pytest.importorskip("tensorrt_rtx_bindings")
    with pytest.raises(EngineError, match=named):
        build(model, tmp_path / "out", precision="fp8", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_hopper_and_blackwell_count_as_later() -> None:
    for sm in ("sm_89", "sm_90", "sm_100", "sm_120"):
        check_target("tensorrt", GpuTarget("tensorrt", sm, "tensorrt 11.4"))
