"""A text encoder's weights in 8 bits: what they change, and that every backend runs the same ones."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from command_helpers import call
from family_pipelines import PIPELINES
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tiny_pipeline import tiny_pipeline
from torch import nn

from engines import Bundle, build, int8_weights, load
from engines.backends.tensorrt import resolve_target
from engines.certificate import INT8_TEXT, read_certificate
from engines.checkpoint.weights import load_part, write_weights
from engines.compile.tensorrt_build import compile_graph
from engines.errors import EngineError, ParityError
from engines.int8_weights import Int8Linear, quantized, to_int8

PART, PROMPTS = "text_encoder", ["a nodule", ""]
finite = st.floats(-1e4, 1e4, width=32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline whose only text encoder is T5."""
    return PIPELINES["pixart"](tmp_path_factory.mktemp("pixart"))


def built(model: Path, out: Path, backend: str, precision: str = "fp32") -> Bundle:
    return build(
        model, out, backend=backend, precision=precision, rows=4, size=64, prompts=PROMPTS, int8_t5=True, overwrite=True
    )


@pytest.fixture(scope="module")
def bundles(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return {backend: built(model, folder / backend, backend) for backend in ("onnxruntime", "torch")}


@given(arrays("float32", array_shapes(min_dims=2, max_dims=2), elements=finite))
def test_no_weight_moves_by_more_than_half_a_level(values: object) -> None:
    weight = torch.as_tensor(values)
    whole, scale = quantized(weight)
    assert whole.dtype == torch.int8
    assert int(whole.abs().max()) <= 127
    moved = (whole.double() * scale.double()[:, None] - weight.double()).abs()
    assert bool((moved <= scale.double()[:, None] * 0.5001).all())
    largest = weight.abs().amax(dim=1)
    assert bool((scale[largest > 1e-30] <= largest[largest > 1e-30] / 126.9).all())


def test_a_product_is_that_of_the_weights_that_are_kept() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(40, 7)
    x, own = torch.randn(3, 40), Int8Linear(linear)
    assert isinstance(own.weight, torch.Tensor)
    assert isinstance(own.scale, torch.Tensor)
    torch.testing.assert_close(own(x), x @ (own.weight.float() * own.scale) + linear.bias)
    assert not torch.equal(own(x), linear(x))


def test_all_products_of_t5_are_changed_and_nothing_else(model: Path) -> None:
    before = load_part(model, PART)
    linear = {name for name, one in before.named_modules() if isinstance(one, nn.Linear)}
    after = load_part(model, PART, int8=True)
    assert linear == {name for name, one in after.named_modules() if isinstance(one, Int8Linear)}
    own = after.state_dict()
    assert {name for name, value in own.items() if value.dtype == torch.int8} == {f"{name}.weight" for name in linear}
    for name, value in before.state_dict().items():
        if name.removesuffix(".weight") not in linear:
            assert torch.equal(own[name], value)


def test_each_backend_reads_prompts_by_the_same_weights(bundles: dict[str, Bundle]) -> None:
    """ONNX Runtime would round activations to 8 bits too, if it were not told otherwise: that is 1.7 % and not 1e-5."""
    found = {backend: load(bundle.folder).encode_text(PROMPTS)["text"] for backend, bundle in bundles.items()}
    torch.testing.assert_close(found["torch"], found["onnxruntime"], rtol=1e-4, atol=1e-4)


def test_the_certificate_has_bars_of_its_own_for_the_text(bundles: dict[str, Bundle]) -> None:
    for bundle in bundles.values():
        certificate = read_certificate(bundle)
        assert certificate.passed
        assert certificate.int8 == bundle.manifest.int8 == (PART,)
        errors = certificate.components[PART]
        assert all(1e-3 < error < INT8_TEXT[0] for error in errors.values())  # more than float32's 1e-4 would allow
        assert all(
            error < 1e-4 for name, one in certificate.components.items() if name != PART for error in one.values()
        )
        assert certificate.smallest_psnr_allowed == INT8_TEXT[1]


def test_weights_of_three_levels_are_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_weights, "LEVELS", 1)
    with pytest.raises(ParityError, match=PART):
        built(model, tmp_path / "bundle", "torch")
    assert not (tmp_path / "bundle").exists()


def test_a_quiet_encoder_is_not_judged_together_with_loud_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T5's numbers may be a hundredth of CLIP's: together with those, a T5 that 8 bits destroyed would pass."""
    made = PIPELINES["sd3"](tmp_path / "sd3")
    weights = load_part(made, "text_encoder_3").state_dict()
    weights["encoder.final_layer_norm.weight"] *= 0.008
    write_weights(made, "text_encoder_3", weights)
    monkeypatch.setattr(int8_weights, "LEVELS", 1)
    with pytest.raises(ParityError, match="text_encoder_3 on real input") as refused:
        built(made, tmp_path / "bundle", "torch")
    assert "leave `int8_t5` out" in str(refused.value)
    assert "text_encoder_2 on" not in str(refused.value)


def test_files_hold_them_in_8_bits(bundles: dict[str, Bundle]) -> None:
    graph = onnx.load(bundles["onnxruntime"].folder / PART / "model.onnx", load_external_data=False).graph
    products = {one.name for one in graph.initializer if one.data_type == onnx.TensorProto.INT8}
    assert products == {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    assert len(products) == 12  # of two layers: four of attention, two of the feed-forward
    weights = load_part(bundles["torch"].folder, PART, int8=True).state_dict()
    assert sum(value.dtype == torch.int8 for value in weights.values()) == 12


def test_a_bundle_with_them_is_no_model(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    """As no bundle is."""
    with pytest.raises(EngineError, match="is an engine bundle"):
        build(bundles["torch"].folder, tmp_path / "bundle", rows=4, size=64, prompts=PROMPTS)


def test_a_pipeline_without_t5_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no T5"):
        build(tiny_pipeline(tmp_path / "m"), tmp_path / "b", int8_t5=True)
    assert not (tmp_path / "b").exists()


def test_inspect_names_them(bundles: dict[str, Bundle], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(f"gen inspect {bundles['torch'].folder}") == 0
    said = capsys.readouterr().out
    assert f"weights in 8 bits {PART}" in " ".join(said.replace("│", " ").split())
    assert "5.0e-02" in said


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_compiles_the_graph(model: Path, tmp_path: Path, precision: str) -> None:
    from engines.compile.onnx_graph import write_graph

    pytest.importorskip("tensorrt_rtx_bindings")
    from engines.compile.precision import DTYPES, lower

    class Text(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.network(ids)[0].float()
            return out

    network = lower(to_int8(load_part(model, PART)), DTYPES[precision])
    path = tmp_path / "model.onnx"
    write_graph(Text(network), (torch.ones(2, 120, dtype=torch.int64),), ["input_ids"], ["text"], path)
    assert len(compile_graph(path, resolve_target("tensorrt-rtx", "sm_89"), 4)) > 10_000
