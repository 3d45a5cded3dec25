"""FLOPs: the published arithmetic of Stable Diffusion is what the counter gives, attention included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.measure import flops, large_models, models
from engines.pipeline_spec import PipelineSpec

SD15 = PipelineSpec(
    size=512,
    latent_channels=4,
    latent_size=64,
    unet_in_channels=4,
    vae_scale_factor=8,
    scaling_factor=0.18215,
    shift_factor=0.0,
    prediction_type="epsilon",
    num_train_timesteps=1000,
    scheduler={},
    family="sd",
    denoiser="unet",
    text_encoders=["text_encoder"],
    tokens={"tokenizer": 77},
    conditioning={"text": (77, 768)},
)


@pytest.mark.parametrize(
    ("name", "parameters"), [("sd15", 859.52e6), ("sd15-inpaint", 859.54e6), ("sd21-base", 865.91e6)]
)
def test_random_models_have_the_public_number_of_parameters(name: str, parameters: float) -> None:
    """A benchmark of other shapes would not be of Stable Diffusion."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**models.UNETS[name])
    assert sum(p.numel() for p in unet.parameters()) == pytest.approx(parameters, rel=1e-4)


def test_stable_diffusion_takes_the_flops_that_others_count(tmp_path: Path) -> None:
    """803.3 GFLOPs a row and 2514.5 a decoded image: 338.6 GMACs of them are T-GATE's without attention."""
    folder = public_shape(tmp_path, "sd15")
    counted = flops.count(folder, SD15)
    assert counted.unet == pytest.approx(803.3e9, rel=1e-3)
    assert counted.decode == pytest.approx(2514.5e9, rel=1e-3)
    assert counted.text == pytest.approx(13.3e9, rel=0.02)
    assert counted.image(40) / 1e12 == pytest.approx(34.65, rel=1e-3)


def test_the_larger_shapes_have_the_public_numbers_of_parameters() -> None:
    """SDXL's UNet 2.567 billion; the transformer of SD 3.5 medium 2.24 billion, and 0.23 of fixed positions."""
    from diffusers import SD3Transformer2DModel, UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**large_models.SDXL_UNET)
        transformer = SD3Transformer2DModel(**large_models.SD35_MEDIUM_TRANSFORMER)
    assert sum(p.numel() for p in unet.parameters()) == pytest.approx(2567.46e6, rel=1e-4)
    assert sum(p.numel() for p in transformer.parameters()) == pytest.approx(2243.2e6, rel=1e-3)


def public_shape(folder: Path, name: str) -> Path:
    """A pipeline folder of a public shape with configurations only."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig

    with torch.device("meta"):
        UNet2DConditionModel(**models.UNETS[name]).save_config(folder / "unet")
        AutoencoderKL(**models.VAE).save_config(folder / "vae")
    text = CLIPTextConfig(**models.TEXT[768], vocab_size=models.VOCABULARY, architectures=["CLIPTextModel"])
    text.save_pretrained(folder / "text_encoder")
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    return folder
