"""Public shapes of the larger families with random weights in half precision: SDXL, SD 3.5 medium, FLUX.1 dev.

The numbers are those of the published configurations. Weights are small normal numbers, made in half precision at once:
a network of billions of weights never stands in memory in float32.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dermforge.common.errors import UserError

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
T5_XXL: dict[str, Any] = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
STD = 0.02
#: What a model needs that few machines have, in GB: memory, as `engines.memory.build_bytes` expects it of a build in
#: fp16, and free disk, for the random pipeline and as much again for the bundle that is made of it.
NEEDS_GB = {"flux-dev": (87, 68)}


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


def flux_dev(folder: Path, clip_tokenizer: Any) -> None:
    """FLUX.1 dev: 16.8 billion weights, 34 GB; the transformer alone has 11.9 billion."""
    import diffusers
    import transformers

    t5 = transformers.T5Config(**T5_XXL, vocab_size=32128, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    diffusers.FluxPipeline(
        transformer=_random(lambda: diffusers.FluxTransformer2DModel(guidance_embeds=True)),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=_random(lambda: diffusers.AutoencoderKL(**SHIFTED_VAE, scaling_factor=0.3611, shift_factor=0.1159)),
        text_encoder=_clip(transformers.CLIPTextModel, SMALL_CLIP),
        tokenizer=clip_tokenizer,
        text_encoder_2=_random(lambda: transformers.T5EncoderModel(t5)),
        tokenizer_2=_t5_tokenizer(),
    ).save_pretrained(folder)


LARGE_MODELS: dict[str, Callable[[Path, Any], None]] = {"sdxl": sdxl, "sd35-medium": sd35_medium, "flux-dev": flux_dev}


def require_room(model: str, work: Path) -> None:
    """Refuse a model that this machine cannot make and build, before anything is written.

    Raises
    ------
    UserError
        Says what is needed, what is there, and what can be done.
    """
    from engines.memory import available_bytes

    if model not in NEEDS_GB:
        return
    (ram, room), place = NEEDS_GB[model], next(p for p in (work, *work.absolute().parents) if p.exists())
    memory, disk = available_bytes(), shutil.disk_usage(place).free
    if disk < room * 1e9 or (memory is not None and memory < ram * 1e9):
        there = "" if memory is None else f"{memory / 1e9:.0f} GB of memory and "
        raise UserError(
            f"{model} needs about {ram} GB of memory and {room} GB of disk in {work} to be made and built in fp16, and "
            f"{there}{disk / 1e9:.0f} GB of disk is free: use a larger machine, or measure sd35-medium or sdxl here"
        )


def _t5_tokenizer() -> Any:
    """A fast tokenizer of T5 over letters: only the length of prompts takes time."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import T5TokenizerFast

    words = ["<pad>", "</s>", "<unk>", "\u2581", *map(chr, range(ord("a"), ord("z") + 1)), ","]
    tokenizer = Tokenizer(models.Unigram([(word, -float(i)) for i, word in enumerate(words)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0, model_max_length=512)


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
