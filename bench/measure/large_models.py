"""Public shapes of the larger families with random weights in half precision: SDXL, SD 3.5 medium, FLUX.1 dev.

The numbers are those of the published configurations. Weights are small normal numbers, made in half precision at once:
a network of billions of weights never stands in memory in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 1024,
}
SHIFTED_VAE = {**VAE, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
#: CLIP ViT-L/14 and OpenCLIP ViT-bigG/14.
SMALL_CLIP = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
LARGE_CLIP = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
SDXL_UNET: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SD35_MEDIUM_TRANSFORMER: dict[str, Any] = {
    "sample_size": 128,
    "num_layers": 24,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
STD = 0.02


def sdxl(folder: Path, clip_tokenizer: Any) -> None:
    """SDXL base: 3.5 billion weights, 6.9 GB."""
    import diffusers
    import transformers

    euler = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    diffusers.StableDiffusionXLPipeline(
        vae=_random(lambda: diffusers.AutoencoderKL(**VAE, latent_channels=4, scaling_factor=0.13025)),
        text_encoder=_clip(transformers.CLIPTextModel, SMALL_CLIP),
        text_encoder_2=_clip(transformers.CLIPTextModelWithProjection, LARGE_CLIP),
        tokenizer=clip_tokenizer,
        tokenizer_2=clip_tokenizer,
        unet=_random(lambda: diffusers.UNet2DConditionModel(**SDXL_UNET)),
        scheduler=diffusers.EulerDiscreteScheduler(**euler),
        add_watermarker=False,
    ).save_pretrained(folder)


def sd35_medium(folder: Path, clip_tokenizer: Any) -> None:
    """SD 3.5 medium without T5: 3.4 billion weights, 6.6 GB."""
    import diffusers
    import transformers

    small = {**SMALL_CLIP, "projection_dim": 768}
    diffusers.StableDiffusion3Pipeline(
        transformer=_random(lambda: diffusers.SD3Transformer2DModel(**SD35_MEDIUM_TRANSFORMER)),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_random(lambda: diffusers.AutoencoderKL(**SHIFTED_VAE, scaling_factor=1.5305, shift_factor=0.0609)),
        text_encoder=_clip(transformers.CLIPTextModelWithProjection, small),
        tokenizer=clip_tokenizer,
        text_encoder_2=_clip(transformers.CLIPTextModelWithProjection, LARGE_CLIP),
        tokenizer_2=clip_tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
    ).save_pretrained(folder)


LARGE_MODELS: dict[str, Callable[[Path, Any], None]] = {"sdxl": sdxl, "sd35-medium": sd35_medium}


def _clip(kind: Any, shape: dict[str, Any]) -> Any:
    from transformers import CLIPTextConfig

    return _random(lambda: kind(CLIPTextConfig(**shape, vocab_size=49408, max_position_embeddings=77)))


def _random(make: Callable[[], Any]) -> Any:
    """A network of small random weights in half precision; norms are one, biases zero."""
    import torch
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        network = make()
    network = network.eval().requires_grad_(False)
    noise = torch.Generator().manual_seed(0)
    for name, value in list(network.named_parameters()):
        made = torch.empty(value.shape, dtype=torch.float16)
        if value.ndim > 1:
            made.normal_(std=STD, generator=noise)
        else:
            made.fill_(float(name.endswith("weight")))
        place, _, last = name.rpartition(".")
        setattr(network.get_submodule(place), last, torch.nn.Parameter(made, requires_grad=False))
    return network.half()
