"""The graphs after their edits: two interfaces on one weight file, no notes of the machine, softmax in float32."""

from __future__ import annotations

import onnx
import pytest

from engines import Bundle
from engines.compile.onnx_edits import SOFTMAX, for_tensorrt


def graph_of(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load(bundle.folder / name, load_external_data=False)


@pytest.mark.parametrize(
    ("standard", "ours"),
    [
        ("unet/model.onnx", "unet/rows.onnx"),
        ("vae_decoder/model.onnx", "vae_decoder/images.onnx"),
        ("vae_encoder/model.onnx", "vae_encoder/images.onnx"),
    ],
)
def test_both_interfaces_share_one_weight_file(bundle: Bundle, standard: str, ours: str) -> None:
    def weights(name: str) -> dict[str, list[tuple[str, str]]]:
        stored = graph_of(bundle, name).graph.initializer
        return {t.name: sorted((e.key, e.value) for e in t.external_data) for t in stored}

    assert weights(standard) == weights(ours)
    assert len(list((bundle.folder / standard).parent.glob("model.onnx.data"))) == 1


def test_graphs_hold_no_traces_of_the_machine(bundle: Bundle) -> None:
    for path in bundle.folder.rglob("*.onnx"):
        assert b"site-packages" not in path.read_bytes()


def test_softmax_is_asked_for_in_float32(bundle: Bundle) -> None:
    """Also in half precision, where the standard allows half; TensorRT's parser refuses the attribute."""
    path = bundle.folder / "unet" / "rows.onnx"
    attention = [node for node in graph_of(bundle, "unet/rows.onnx").graph.node if node.op_type == "Attention"]
    assert attention
    assert all(a.i == onnx.TensorProto.FLOAT for n in attention for a in n.attribute if a.name == SOFTMAX)
    assert all(SOFTMAX in [a.name for a in n.attribute] for n in attention)
    for_parser = onnx.load_model_from_string(for_tensorrt(path)).graph.node
    assert not any(a.name == SOFTMAX for n in for_parser for a in n.attribute)
