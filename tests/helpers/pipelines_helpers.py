"""The built-in pipeline untrained: its shapes, with weights of nothing."""

from __future__ import annotations

import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline

from gen.builtin.model import new_scheduler, new_text_encoder, new_tokenizer, new_unet, new_vae


def new_pipeline(seed: int, inpaint: bool = False) -> StableDiffusionPipeline | StableDiffusionInpaintPipeline:
    """The same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokenizer = new_tokenizer()
        kind = StableDiffusionInpaintPipeline if inpaint else StableDiffusionPipeline
        return kind(
            vae=new_vae(),
            text_encoder=new_text_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=new_unet(inpaint),
            scheduler=new_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
        )
