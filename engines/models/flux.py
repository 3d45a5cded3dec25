"""FLUX.1: a transformer over packed latents, flow matching, guidance as an input (dev) or none (schnell)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines.checkpoint import settings
from engines.conditioning import Conditioning
from engines.errors import EngineError
from engines.models.clip import CLIP, CLIP_TOKENS, T5, t5_tokens
from engines.models.family import Family, Outputs, Part
from engines.models.sd3 import check_transformer
from engines.pipeline_spec import PipelineSpec

T5_TOKENS = 512  # of diffusers' pipeline
PACK = 2  # latents of PACK x PACK positions are one token
USUAL_GUIDANCE = 3.5  # of diffusers' pipeline


class Flux(Family):
    """T5 gives the text, CLIP the pooled embedding; the distilled guidance scale is a third input."""

    name = "flux"
    title = "FLUX.1"
    pipelines = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline")
    denoiser = "transformer"
    flow = True
    parts = {
        "transformer": Part("diffusers", "FluxTransformer2DModel", settings.FLUX),
        "vae": Part("diffusers", "AutoencoderKL", settings.VAE_SHIFTED),
        "text_encoder": CLIP,
        "text_encoder_2": T5,
    }
    tokenizers = {"tokenizer": CLIP_TOKENS, "tokenizer_2": t5_tokens(T5_TOKENS)}
    index = settings.INDEX_TRANSFORMER
    their_names = ("prompt_embeds", "pooled_prompt_embeds")
    inputs = {"text": "encoder_hidden_states", "pooled": "pooled_projections", "guidance": "guidance"}

    def facts(self, folder: Path, networks: Mapping[str, Any], lengths: Mapping[str, int], side: int) -> dict[str, Any]:
        denoiser = networks["transformer"].config
        check_transformer(folder, denoiser, networks["vae"].config, packed=PACK**2)
        pooled, width = networks["text_encoder"].config.hidden_size, networks["text_encoder_2"].config.d_model
        if (pooled, width) != (denoiser.pooled_projection_dim, denoiser.joint_attention_dim):
            raise EngineError(
                f"{folder}: the transformer expects text of {denoiser.joint_attention_dim} and "
                f"{denoiser.pooled_projection_dim} dimensions and the text encoders give {width} and {pooled}; the "
                "parts are of different models"
            )
        shapes: dict[str, tuple[int, ...]] = {"text": (lengths["tokenizer_2"], width), "pooled": (pooled,)}
        if denoiser.guidance_embeds:
            shapes["guidance"] = ()
        return {
            "unet_in_channels": networks["vae"].config.latent_channels,
            "conditioning": shapes,
            "constants": {"guidance": USUAL_GUIDANCE} if denoiser.guidance_embeds else {},
            "guidance": "embedded" if denoiser.guidance_embeds else "none",
            "image_tokens": (side // PACK) ** 2,
            "sigmas_from_one": True,
        }

    def latent_multiple(self, networks: Mapping[str, Any]) -> int:
        return PACK

    def own_side(self, networks: Mapping[str, Any]) -> Any:
        return 128  # no configuration names it: 1024 pixels, as diffusers' pipeline draws by default

    def text_outputs(self, part: str, network: Any, ids: Tensor) -> dict[str, Tensor]:
        if part == "text_encoder":
            return {"pooled": network(ids).pooler_output.float()}
        return {"text": network(ids)[0].float()}

    def conditioning(self, outputs: Mapping[str, Outputs], spec: PipelineSpec) -> Conditioning:
        return {"text": outputs["text_encoder_2"]["text"], "pooled": outputs["text_encoder"]["pooled"]}

    def predict(self, denoiser: Any, latents: Tensor, times: Tensor, told: Conditioning, spec: PipelineSpec) -> Tensor:
        side, text = spec.latent_size // PACK, told["text"]
        places = torch.zeros(side, side, 3)
        places[..., 1], places[..., 2] = torch.arange(side)[:, None], torch.arange(side)[None, :]
        out: Tensor = denoiser(
            hidden_states=packed(latents),
            encoder_hidden_states=text,
            pooled_projections=told["pooled"],
            timestep=times / spec.num_train_timesteps,
            img_ids=places.reshape(-1, 3).to(latents.device),
            txt_ids=torch.zeros(text.shape[1], 3, device=latents.device),
            guidance=told.get("guidance"),
            return_dict=False,
        )[0]
        return unpacked(out, spec.latent_size)

    def their_latents(self, latents: Tensor) -> Tensor:
        return packed(latents)

    def our_latents(self, latents: Tensor, spec: PipelineSpec) -> Tensor:
        return unpacked(latents, spec.latent_size)


def packed(latents: Tensor) -> Tensor:
    """[n, C, h, w] -> [n, h w / 4, 4 C]: the four positions of a square are one token."""
    n, channels, side, _ = latents.shape
    squares = latents.reshape(n, channels, side // PACK, PACK, side // PACK, PACK).permute(0, 2, 4, 1, 3, 5)
    return squares.reshape(n, (side // PACK) ** 2, channels * PACK**2)


def unpacked(tokens: Tensor, side: int) -> Tensor:
    """[n, h w / 4, 4 C] -> [n, C, h, w], where h = w = side."""
    n, _, width = tokens.shape
    squares = tokens.reshape(n, side // PACK, side // PACK, width // PACK**2, PACK, PACK).permute(0, 3, 1, 4, 2, 5)
    return squares.reshape(n, width // PACK**2, side, side)


FAMILY = Flux()
