"""A Stable Diffusion pipeline small enough to run in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from gen.builtin.model import MAX_LENGTH, new_scheduler, new_tokenizer

CLASSES = ["plaque", "ulcer"]
GROUPS = ["very_light", "dark"]


def tiny_pipeline(folder: Path, inpaint: bool = False) -> Path:
    """A Stable Diffusion folder of 64 px with 8x8 latents, untrained; all of it runs in a few milliseconds."""
    torch.manual_seed(inpaint)
    tokenizer = new_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=9 if inpaint else 4,
        out_channels=4,
        block_out_channels=(16, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=16,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=64,
    )
    with torch.no_grad():  # encodes without noise, so that what diffusers makes of an image can be compared
        vae.quant_conv.weight[4:], vae.quant_conv.bias[4:] = 0.0, -30.0
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=MAX_LENGTH,
            projection_dim=16,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    kind = StableDiffusionInpaintPipeline if inpaint else StableDiffusionPipeline
    kind(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    (folder / "dermforge.json").write_text(
        json.dumps(
            {
                "classes": CLASSES,
                "groups": GROUPS,
                "prompt_template": "An image of {class}, {group} skin",
                "lineage": ["real1"],
                "phantom": True,
            }
        )
    )
    return folder
