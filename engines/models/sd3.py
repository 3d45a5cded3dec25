"""Stable Diffusion 3 and 3.5 (arXiv 2403.03206): a transformer, flow matching, two CLIPs and an optional T5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from engines.checkpoint import settings
from engines.conditioning import Conditioning
from engines.errors import EngineError
from engines.models.clip import CLIP_TOKENS, PROJECTED_CLIP, T5, penultimate, side_by_side, t5_tokens
from engines.models.family import Family, Outputs, Part
from engines.pipeline_spec import PipelineSpec

T5_TOKENS = 256  # of diffusers' pipeline


class StableDiffusion3(Family):
    """CLIP's embeddings, filled up with zeros to the width of T5's, stand before T5's; without T5 those are zeros."""

    name = "sd3"
    title = "Stable Diffusion 3 and 3.5"
    pipelines = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline")
    denoiser = "transformer"
    flow = True
    parts = {
        "transformer": Part("diffusers", "SD3Transformer2DModel", settings.SD3),
        "vae": Part("diffusers", "AutoencoderKL", settings.VAE_SHIFTED),
        "text_encoder": PROJECTED_CLIP,
        "text_encoder_2": PROJECTED_CLIP,
        "text_encoder_3": replace(T5, optional=True),
    }
    tokenizers = {
        "tokenizer": CLIP_TOKENS,
        "tokenizer_2": CLIP_TOKENS,
        "tokenizer_3": t5_tokens(T5_TOKENS, optional=True),
    }
    index = settings.INDEX_TRANSFORMER
    inputs = {"text": "encoder_hidden_states", "pooled": "pooled_projections"}

    def facts(self, folder: Path, networks: Mapping[str, Any], lengths: Mapping[str, int], side: int) -> dict[str, Any]:
        denoiser, vae = networks["transformer"].config, networks["vae"].config
        first, second = networks["text_encoder"].config, networks["text_encoder_2"].config
        pooled, width = first.projection_dim + second.projection_dim, denoiser.joint_attention_dim
        check_transformer(folder, denoiser, vae)
        if pooled != denoiser.pooled_projection_dim:
            raise EngineError(
                f"{folder}: the transformer expects a pooled text of {denoiser.pooled_projection_dim} dimensions and "
                f"the text encoders give {pooled}; the parts are of different models"
            )
        third = networks.get("text_encoder_3")
        if first.hidden_size + second.hidden_size > width or (third is not None and third.config.d_model != width):
            raise EngineError(f"{folder}: the text encoders give other dimensions than the {width} of the transformer")
        return {
            "unet_in_channels": denoiser.in_channels,
            "conditioning": {"text": (lengths["tokenizer"] + T5_TOKENS, width), "pooled": (pooled,)},
            "image_tokens": (side // denoiser.patch_size) ** 2,
        }

    def text_outputs(self, part: str, network: Any, ids: Tensor) -> dict[str, Tensor]:
        if part == "text_encoder_3":
            return {"text": network(ids)[0].float()}
        return penultimate(network, ids)

    def conditioning(self, outputs: Mapping[str, Outputs], spec: PipelineSpec) -> Conditioning:
        tokens, width = spec.conditioning["text"]
        clips = {part: out for part, out in outputs.items() if part != "text_encoder_3"}
        text = side_by_side(clips, "text")
        text = pad(text, (0, width - text.shape[-1]))
        if "text_encoder_3" in outputs:
            text = torch.cat([text, outputs["text_encoder_3"]["text"]], dim=1)
        return {"text": pad(text, (0, 0, 0, tokens - text.shape[1])), "pooled": side_by_side(clips, "pooled")}

    def predict(self, denoiser: Any, latents: Tensor, times: Tensor, told: Conditioning, spec: PipelineSpec) -> Tensor:
        out: Tensor = denoiser(latents, told["text"], told["pooled"], times, return_dict=False)[0]
        return out


def check_transformer(folder: Path, denoiser: Any, vae: Any, packed: int = 1) -> None:
    """Refuse a transformer of other latents than the VAE's; `packed` positions are one token of it.

    Raises
    ------
    EngineError
        Says both numbers.
    """
    if denoiser.in_channels != packed * vae.latent_channels:
        raise EngineError(
            f"{folder / 'transformer'} takes {denoiser.in_channels} channels and the VAE has {vae.latent_channels}; "
            f"expected {packed * vae.latent_channels}: inpainting and control models are not supported"
        )


FAMILY = StableDiffusion3()
