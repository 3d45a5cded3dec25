"""FLUX.1: a transformer over packed latents, flow matching, guidance as an input (dev) or none (schnell)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engines.checkpoint.settings import known
from engines.conditioning import Conditioning
from engines.errors import EngineError
from engines.models.clip import CLIP, CLIP_TOKENS, T5, t5_tokens
from engines.models.family import Family, Outputs, Part
from engines.models.transformer import CLIP_L, ROWS, T5XXL, check_transformer, outer_piece
from engines.models.vae import SHIFTED_VAE, VAE_LAYOUTS
from engines.pipeline_spec import PipelineSpec
from engines.single_file import names_text
from engines.single_file.layouts import DENOISER, Layout
from engines.single_file.piece import Piece

T5_TOKENS = 512  # of diffusers' pipeline
PACK = 2  # latents of PACK x PACK positions are one token
USUAL_GUIDANCE = 3.5  # of diffusers' pipeline
TRANSFORMER = known(
    used="patch_size in_channels out_channels num_layers num_single_layers attention_head_dim num_attention_heads "
    "joint_attention_dim pooled_projection_dim guidance_embeds axes_dims_rope",
    without_influence="",
    only={},
)
INDEX = known(
    used="scheduler text_encoder text_encoder_2 tokenizer tokenizer_2 transformer vae",
    without_influence="feature_extractor image_encoder",
    only={},
)
#: The layers in a single file, by diffusers' names of them: outside of the blocks, and in each block.
OUTER = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "proj_out": "final_layer.linear",
}
DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
SINGLE = {"norm.linear": "modulation.lin", "proj_out": "linear2"}
#: One matrix of seven parts: queries, keys, values, and four of the layer beside them.
LINEAR1 = {"attn.to_q": (0, 1, 7), "attn.to_k": (1, 2, 7), "attn.to_v": (2, 3, 7), "proj_mlp": (3, 7, 7)}
NORMS = {"norm_q": "query_norm", "norm_k": "key_norm", "norm_added_q": "query_norm", "norm_added_k": "key_norm"}


def piece(name: str, config: Mapping[str, Any]) -> Piece | None:
    """Where a weight of `FluxTransformer2DModel` lies in a single file: in the names of Black Forest Labs' own code."""
    module, _, last = name.rpartition(".")
    if (outer := outer_piece(module, last, OUTER)) is not None:
        return outer
    m = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.+)", module)
    if not m:
        return None
    block, layer = f"{'single' if m[1] else 'double'}_blocks.{m[2]}", m[3]
    norm = layer.removeprefix("attn.")
    if norm in NORMS:
        side = "" if m[1] else "txt_attn." if "added" in norm else "img_attn."
        return Piece(f"{block}.{side}norm.{NORMS[norm]}.scale")
    if m[1]:
        if layer in LINEAR1:
            return Piece(f"{block}.linear1.{last}", rows=LINEAR1[layer])
        return Piece(f"{block}.{SINGLE[layer]}.{last}") if layer in SINGLE else None
    if q := re.fullmatch(r"attn\.(to|add)_([qkv])(_proj)?", layer):
        return Piece(f"{block}.{'img' if q[1] == 'to' else 'txt'}_attn.qkv.{last}", rows=ROWS[q[2]])
    return Piece(f"{block}.{DOUBLE[layer]}.{last}") if layer in DOUBLE else None


class Flux(Family):
    """T5 gives the text, CLIP the pooled embedding; the distilled guidance scale is a third input."""

    name = "flux"
    title = "FLUX.1"
    pipelines = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline")
    denoiser = "transformer"
    flow = True
    parts = {
        "transformer": Part("diffusers", "FluxTransformer2DModel", TRANSFORMER),
        "vae": SHIFTED_VAE,
        "text_encoder": CLIP,
        "text_encoder_2": T5,
    }
    tokenizers = {"tokenizer": CLIP_TOKENS, "tokenizer_2": t5_tokens(T5_TOKENS)}
    index = INDEX
    layouts = {
        "transformer": (Layout(DENOISER, piece), Layout("", piece)),
        "vae": VAE_LAYOUTS,
        "text_encoder": (Layout(CLIP_L, names_text.transformers),),
        "text_encoder_2": (Layout(T5XXL, names_text.transformers),),
    }
    public = {
        "black-forest-labs/FLUX.1-dev": "FLUX.1 [dev] Non-Commercial License",
        "black-forest-labs/FLUX.1-schnell": "Apache-2.0",
    }
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
