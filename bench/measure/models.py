"""Pipelines to measure: a folder, the built-in one, or Stable Diffusion's public shapes with random weights.

Speed does not depend on the values of the weights, so a machine without a network can measure the real shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.measure.large_models import LARGE_MODELS, require_room
from dermforge.common.errors import UserError
from gen.builtin import pipeline_folder

UNET = {
    "sample_size": 64,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
#: As in the public configurations of Stable Diffusion 1.5, its inpainting model and 2.1-base (the paper's).
UNETS: dict[str, dict[str, Any]] = {
    "sd15": {**UNET, "in_channels": 4, "attention_head_dim": 8, "cross_attention_dim": 768},
    "sd15-inpaint": {**UNET, "in_channels": 9, "attention_head_dim": 8, "cross_attention_dim": 768},
    "sd21-base": {
        **UNET,
        "in_channels": 4,
        "attention_head_dim": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
}
TEXT: dict[int, dict[str, Any]] = {
    768: {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
    1024: {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "projection_dim": 512,
        "hidden_act": "gelu",
    },
}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}
BUILT_IN = "built-in"
WORDS_FOR_MODELS = f"{BUILT_IN}, or public shapes with random weights: {', '.join([*UNETS, *LARGE_MODELS])}"
WORK = Path("runs/bench")
VOCABULARY = 49408
LENGTH = 77
#: Told of each long step as it begins.
Say = Callable[[str], None]


def find(model: str, work: Path, say: Say = lambda _: None) -> Path:
    """The pipeline folder of a path, or of a word for one; random ones are made once and kept in `work`.

    Raises
    ------
    UserError
        Neither a known word nor a pipeline folder.
    """
    if model == BUILT_IN:
        return pipeline_folder()
    if model in UNETS or model in LARGE_MODELS:
        folder = work / f"random-{model}"
        if not (folder / "model_index.json").exists():
            require_room(model, work)
            say(f"making random weights of {model}")
            if model in UNETS:
                make_random(model, folder)
            else:
                LARGE_MODELS[model](folder, letters_tokenizer())
        return folder
    if not (Path(model) / "model_index.json").is_file():
        raise UserError(f"no pipeline folder at {model}; expected one, or {WORDS_FOR_MODELS}")
    return Path(model)


def make_random(model: str, folder: Path, *, seed: int = 0) -> None:
    """Write a pipeline folder of a public shape with random half-precision weights: 2.1 GB, 6 GB of memory."""
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionInpaintPipeline,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(**UNETS[model]).half()
        vae = AutoencoderKL(**VAE).half()
        tokenizer = letters_tokenizer()
        text = CLIPTextModel(
            CLIPTextConfig(
                **TEXT[unet.config.cross_attention_dim], vocab_size=VOCABULARY, max_position_embeddings=LENGTH
            )
        ).half()
        kind = StableDiffusionPipeline if unet.config.in_channels == 4 else StableDiffusionInpaintPipeline
        scheduler = DDIMScheduler(**SCHEDULER)
        kind(
            vae=vae,
            text_encoder=text,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)


def letters_tokenizer() -> Any:
    """A tokenizer of letters: only the length of prompts takes time, and every prompt is padded to 77 tokens."""
    from transformers import CLIPTokenizer

    from gen.builtin.model import new_tokenizer

    small: CLIPTokenizer = new_tokenizer()
    small.model_max_length = LENGTH
    return small
