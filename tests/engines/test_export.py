"""The graphs: optimum's interface in the standard places, ours on the same weight files, no notes left in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from diffusers import StableDiffusionPipeline

from engines import Bundle
from engines.graphs import SOFTMAX, for_tensorrt

PROMPTS = ["An image of plaque, dark skin", "An image of annulus, light skin"]


def graph_of(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load(bundle.folder / name, load_external_data=False)


def ends(model: onnx.ModelProto) -> list[tuple[str, int, list[int | str]]]:
    return [
        (v.name, v.type.tensor_type.elem_type, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim])
        for v in [*model.graph.input, *model.graph.output]
    ]


def test_our_unet_takes_a_timestep_for_each_row(bundle: Bundle) -> None:
    float32 = onnx.TensorProto.FLOAT
    assert ends(graph_of(bundle, "unet/rows.onnx")) == [
        ("sample", float32, ["rows", 4, 8, 8]), ("timesteps", float32, ["rows"]),
        ("encoder_hidden_states", float32, ["rows", 16, 32]), ("out_sample", float32, ["rows", 4, 8, 8]),
    ]


def test_our_decoder_ends_in_bytes_of_pixels(bundle: Bundle) -> None:
    output = ends(graph_of(bundle, "vae_decoder/images.onnx"))[-1]
    assert output == ("images", onnx.TensorProto.UINT8, ["rows", 64, 64, 3])


@pytest.mark.parametrize(
    ("standard", "ours"),
    [("unet/model.onnx", "unet/rows.onnx"), ("vae_decoder/model.onnx", "vae_decoder/images.onnx"),
     ("vae_encoder/model.onnx", "vae_encoder/images.onnx")],
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
    """Also in half precision, where the standard would let it be half; TensorRT's parser refuses to be told."""
    path = bundle.folder / "unet" / "rows.onnx"
    attention = [node for node in graph_of(bundle, "unet/rows.onnx").graph.node if node.op_type == "Attention"]
    assert attention
    assert all(a.i == onnx.TensorProto.FLOAT for n in attention for a in n.attribute if a.name == SOFTMAX)
    assert all(SOFTMAX in [a.name for a in n.attribute] for n in attention)
    told = onnx.load_model_from_string(for_tensorrt(path)).graph.node
    assert not any(a.name == SOFTMAX for n in told for a in n.attribute)


def test_optimum_opens_the_bundle_and_draws_what_diffusers_draws(model: Path, bundle: Bundle) -> None:
    optimum = pytest.importorskip("optimum.onnxruntime")
    latents = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    pipelines = (
        optimum.ORTStableDiffusionPipeline.from_pretrained(bundle.folder, export=False),
        StableDiffusionPipeline.from_pretrained(model),
    )
    images = []
    for pipeline in pipelines:
        pipeline.set_progress_bar_config(disable=True)
        images.append(pipeline(
            PROMPTS, latents=latents.clone(), num_inference_steps=3, guidance_scale=3.0, height=64, width=64,
            output_type="np",
        ).images)
    assert np.abs(images[0] - images[1]).max() < 1 / 255
