"""The graphs: optimum's interface in the standard places, ours on the same weight files, no notes left in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline

from engines import Bundle, build
from engines.errors import EngineError

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
        ("sample", float32, ["rows", 4, 8, 8]),
        ("timesteps", float32, ["rows"]),
        ("encoder_hidden_states", float32, ["rows", 16, 32]),
        ("out_sample", float32, ["rows", 4, 8, 8]),
    ]


def test_our_decoder_ends_in_bytes_of_pixels(bundle: Bundle) -> None:
    output = ends(graph_of(bundle, "vae_decoder/images.onnx"))[-1]
    assert output == ("images", onnx.TensorProto.UINT8, ["rows", 64, 64, 3])


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
        images.append(
            pipeline(
                PROMPTS,
                latents=latents.clone(),
                num_inference_steps=3,
                guidance_scale=3.0,
                height=64,
                width=64,
                output_type="np",
            ).images
        )
    assert np.abs(images[0] - images[1]).max() < 1 / 255


@pytest.mark.slow
def test_optimum_opens_a_pipeline_of_the_2x_shape(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """Stable Diffusion 2.1 has linear projections, heads by block, plain time shifts, v-prediction and exact GELU."""
    model = make_model(
        seed=4,
        text_act="gelu",
        use_linear_projection=True,
        attention_head_dim=[2, 4],
        resnet_time_scale_shift="default",
        addition_embed_type=None,
    )
    test_optimum_opens_the_bundle_and_draws_what_diffusers_draws(model, build(model, tmp_path / "out", rows=4))


@pytest.mark.slow
def test_optimum_opens_an_inpainting_pipeline(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """Nine channels: the mask and the hidden image come through optimum's encoder as through diffusers'."""
    optimum = pytest.importorskip("optimum.onnxruntime")
    model = make_model(seed=5, in_channels=9)
    bundle = build(model, tmp_path / "out", rows=4)
    noise = np.random.default_rng(0)
    picture, mask = noise.random((1, 64, 64, 3), dtype=np.float32), np.zeros((1, 64, 64), dtype=np.float32)
    mask[:, 16:48, 16:48] = 1
    images = []
    for pipeline in (
        optimum.ORTStableDiffusionInpaintPipeline.from_pretrained(bundle.folder, export=False),
        StableDiffusionInpaintPipeline.from_pretrained(model),
    ):
        pipeline.set_progress_bar_config(disable=True)
        images.append(
            pipeline(
                PROMPTS[:1],
                image=picture,
                mask_image=mask,
                num_inference_steps=3,
                guidance_scale=3.0,
                height=64,
                width=64,
                generator=torch.Generator().manual_seed(0),
                output_type="np",
            ).images
        )
    assert np.abs(images[0] - images[1]).max() < 1 / 255


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_part_that_overflows_fp16_is_named_before_it_is_exported(
    make_model: Callable[..., Path], tmp_path: Path, part: str
) -> None:
    """One weight is far too large for fp16, and fine in float32."""
    from safetensors.torch import load_file, save_file

    model = make_model(seed=6)
    (weights,) = (model / part).glob("*.safetensors")
    tensors = load_file(weights)
    name = next(n for n in tensors if n.endswith(("conv_in.weight", "fc1.weight")))
    tensors[name] = tensors[name] * 1e7
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"overflows in fp16: \S+ reaches .* fp16 ends at 65504"):
        build(model, tmp_path / "out", precision="fp16", rows=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_vae_encoder_that_overflows_fp16_stays_in_fp32_alone(make_model: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = make_model(seed=7)
    weights = model / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["encoder.conv_in.weight"] *= 1e6
    save_file(tensors, weights, metadata={"format": "pt"})
    built = build(model, tmp_path / "out", precision="fp16", rows=4, allow_parity_failure=True)
    kinds = {
        part: {
            t.data_type
            for t in graph_of(built, f"vae_{part}/model.onnx").graph.initializer
            if "conv_in.weight" in t.name
        }
        for part in ("encoder", "decoder")
    }
    assert kinds == {"encoder": {onnx.TensorProto.FLOAT}, "decoder": {onnx.TensorProto.FLOAT16}}
