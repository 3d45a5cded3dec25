"""The shapes of the built-in pipeline: a Stable Diffusion small enough to train on two cores.

64 px images, 16x16x4 latents, prompts of at most 16 tokens. v-prediction with a zero terminal SNR (Lin 2023,
arXiv 2305.08891), because skin tone is the lowest frequency of all and plain schedules leave it to chance.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from dermforge.common.skin_tone import TONE_GROUPS
from gen.phantoms import CLASSES

SIZE = 64
PATCH = 4
LATENT_SIZE = SIZE // PATCH
LATENT_CHANNELS = 4
MAX_LENGTH = 16
TEXT_DIM = 64
PROMPT = "An image of {class}, {group} skin"


def prompt_for(cls: str, group: str) -> str:
    """The prompt of a cell; groups are written with spaces."""
    return PROMPT.replace("{class}", cls).replace("{group}", group.replace("_", " "))


PHANTOM_PROMPTS = tuple(prompt_for(c, g) for c in CLASSES for g in TONE_GROUPS)


def new_vae(size: int = SIZE) -> AutoencoderKL:
    """An autoencoder of factor 4. Few groups: norms of one or two channels erase colour (docs/decisions/0003)."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        norm_num_groups=2,
        scaling_factor=1.0,
        latent_channels=LATENT_CHANNELS,
        sample_size=size,
        mid_block_add_attention=False,
    )
    with torch.no_grad():  # the posterior is almost a point: its standard deviation is always exp(-4)
        vae.quant_conv.weight[LATENT_CHANNELS:] = 0.0
        vae.quant_conv.bias[LATENT_CHANNELS:] = -8.0
    return vae


def new_unet(inpaint: bool = False, size: int = SIZE) -> UNet2DConditionModel:
    """A UNet whose residual blocks also see the whole prompt, so that class and tone are learnt early."""
    return UNet2DConditionModel(
        sample_size=size // PATCH,
        in_channels=2 * LATENT_CHANNELS + 1 if inpaint else LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(32, 64, 128),
        layers_per_block=1,
        norm_num_groups=16,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=TEXT_DIM,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Two narrow CLIP layers: enough for prompts of known words."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_DIM,
            intermediate_size=4 * TEXT_DIM,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            projection_dim=TEXT_DIM,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_tokenizer(prompts: Sequence[str] = PHANTOM_PROMPTS) -> CLIPTokenizer:
    """A CLIP tokenizer of letters, with merges for the words of the prompts (most are one token)."""
    words = sorted({w.strip(",").lower() for prompt in prompts for w in prompt.split()})
    letters = [chr(c) for c in range(ord("!"), ord("~") + 1) if chr(c) == chr(c).lower()]
    vocabulary = letters + [f"{letter}</w>" for letter in letters]
    merges: list[str] = []
    for word in words:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merge = f"{pieces[0]} {pieces[1]}"
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
            if merge not in merges:
                merges.append(merge)
                vocabulary.append(pieces[0])
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        vocab_file, merges_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_file.write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}), encoding="utf-8")
        merges_file.write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
        return CLIPTokenizer(str(vocab_file), str(merges_file), model_max_length=MAX_LENGTH)


def new_scheduler() -> DDIMScheduler:
    """The training and sampling schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )
