"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a UNet, latents of four channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines.checkpoint import settings
from engines.conditioning import Conditioning
from engines.errors import EngineError
from engines.models.clip import CLIP, CLIP_TOKENS
from engines.models.family import Family, Outputs, Part
from engines.models.guidance import beside_timestep, embedded_facts
from engines.pipeline_spec import PipelineSpec


class StableDiffusion(Family):
    """Latent diffusion (arXiv 2112.10752): the denoiser attends to the last hidden states of CLIP."""

    name = "sd"
    title = "Stable Diffusion 1.x and 2.x"
    pipelines = ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline")
    inpainting = "StableDiffusionInpaintPipeline"
    denoiser = "unet"
    parts = {
        "unet": Part("diffusers", "UNet2DConditionModel", settings.UNET),
        "vae": Part("diffusers", "AutoencoderKL", settings.VAE),
        "text_encoder": CLIP,
    }
    tokenizers = {"tokenizer": CLIP_TOKENS}
    index = settings.INDEX
    inputs = {"text": "encoder_hidden_states", "guidance": "guidance"}
    scalar_timestep = True

    def facts(self, folder: Path, networks: Mapping[str, Any], lengths: Mapping[str, int], side: int) -> dict[str, Any]:
        unet, vae = networks["unet"].config, networks["vae"].config
        width = networks["text_encoder"].config.hidden_size
        check_channels(folder, unet, vae)
        check_width(folder, unet, width, "the text encoder gives")
        further = embedded_facts(unet.time_cond_proj_dim)
        shapes = {"text": (lengths["tokenizer"], width), **further.pop("conditioning", {})}
        return {"unet_in_channels": unet.in_channels, "conditioning": shapes, **further}

    def text_outputs(self, part: str, network: Any, ids: Tensor) -> dict[str, Tensor]:
        return {"last_hidden_state": network(ids, return_dict=False)[0].float()}

    def conditioning(self, outputs: Mapping[str, Outputs], spec: PipelineSpec) -> Conditioning:
        return {"text": outputs["text_encoder"]["last_hidden_state"]}

    def predict(self, denoiser: Any, latents: Tensor, times: Tensor, told: Conditioning, spec: PipelineSpec) -> Tensor:
        beside = beside_timestep(denoiser, told.get("guidance"))
        out: Tensor = denoiser(latents, times, told["text"], **beside, return_dict=False)[0]
        return out

    def their_prompt(self, pipeline: Any, prompt: str, device: torch.device) -> dict[str, Tensor]:
        return dict(zip(self.their_names, pipeline.encode_prompt(prompt, device, 1, True), strict=False))


def check_channels(folder: Path, unet: Any, vae: Any) -> None:
    """Refuse a UNet that takes or gives other channels than text to image or inpainting does."""
    latent = vae.latent_channels
    allowed = {latent: "text to image", 2 * latent + 1: "inpainting"}
    if unet.in_channels not in allowed:
        expected = " or ".join(f"{n} ({what})" for n, what in allowed.items())
        raise EngineError(f"{folder / 'unet'} takes {unet.in_channels} channels; expected {expected}")
    if unet.in_channels != latent and latent != 4:
        raise EngineError(f"{folder / 'vae'} has {latent} latent channels; diffusers inpaints with 4 only")
    if unet.out_channels != latent:
        raise EngineError(
            f"{folder / 'unet'} gives {unet.out_channels} channels; expected {latent}, as the VAE has: a learnt "
            "variance is not supported"
        )


def check_width(folder: Path, unet: Any, width: int, given: str) -> None:
    """Refuse a UNet that attends to text of another width."""
    widths = unet.cross_attention_dim
    if {width} != set(widths if isinstance(widths, list | tuple) else [widths]):
        raise EngineError(
            f"{folder}: the UNet expects text of {widths} dimensions and {given} {width}; the parts are of different "
            "models"
        )


FAMILY = StableDiffusion()
