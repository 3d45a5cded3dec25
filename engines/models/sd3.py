"""Stable Diffusion 3 and 3.5 (arXiv 2403.03206): a transformer, flow matching, two CLIPs and an optional T5."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from engines.checkpoint.settings import known
from engines.conditioning import Conditioning
from engines.errors import EngineError
from engines.models.clip import CLIP_TOKENS, PROJECTED_CLIP, T5, penultimate, side_by_side, t5_tokens
from engines.models.family import Family, Outputs, Part
from engines.models.transformer import CLIP_G, CLIP_L, ROWS, T5XXL, check_transformer, outer_piece
from engines.models.vae import SHIFTED_VAE, VAE_LAYOUTS
from engines.pipeline_spec import PipelineSpec
from engines.single_file import names_text
from engines.single_file.layouts import DENOISER, Layout
from engines.single_file.piece import Piece

T5_TOKENS = 256  # of diffusers' pipeline
TRANSFORMER = known(
    used="sample_size patch_size in_channels out_channels num_layers attention_head_dim num_attention_heads "
    "joint_attention_dim caption_projection_dim pooled_projection_dim pos_embed_max_size dual_attention_layers qk_norm",
    without_influence="",
    only={},
)
INDEX = known(
    used="scheduler text_encoder text_encoder_2 text_encoder_3 tokenizer tokenizer_2 tokenizer_3 transformer vae",
    without_influence="feature_extractor image_encoder",
    only={},
)
#: The layers in a single file, by diffusers' names of them: outside of the blocks, and in each block.
OUTER = {
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
}
BLOCK = {
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn2.to_out.0": "x_block.attn2.proj",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}


def piece(name: str, config: Mapping[str, Any]) -> Piece | None:
    """Where a weight of `SD3Transformer2DModel` lies in a single file, which has the names of Stability's own code."""
    if name == "pos_embed.pos_embed":
        return Piece("pos_embed")
    module, _, last = name.rpartition(".")
    if (outer := outer_piece(module, last, OUTER)) is not None:
        return outer
    m = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", module)
    if not m:
        return None
    block = f"joint_blocks.{m[1]}"
    if q := re.fullmatch(r"(attn2?)\.to_([qkv])", m[2]):
        return Piece(f"{block}.x_block.{q[1]}.qkv.{last}", rows=ROWS[q[2]])
    if q := re.fullmatch(r"attn\.add_([qkv])_proj", m[2]):
        return Piece(f"{block}.context_block.attn.qkv.{last}", rows=ROWS[q[1]])
    if m[2] not in BLOCK:
        return None
    ends = m[2] == "norm1_context.linear" and int(m[1]) == config["num_layers"] - 1
    return Piece(f"{block}.{BLOCK[m[2]]}.{last}", swapped=ends)


class StableDiffusion3(Family):
    """CLIP's embeddings, filled up with zeros to the width of T5's, stand before T5's; without T5 those are zeros."""

    name = "sd3"
    title = "Stable Diffusion 3 and 3.5"
    pipelines = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline")
    denoiser = "transformer"
    flow = True
    parts = {
        "transformer": Part("diffusers", "SD3Transformer2DModel", TRANSFORMER),
        "vae": SHIFTED_VAE,
        "text_encoder": PROJECTED_CLIP,
        "text_encoder_2": PROJECTED_CLIP,
        "text_encoder_3": replace(T5, optional=True),
    }
    tokenizers = {
        "tokenizer": CLIP_TOKENS,
        "tokenizer_2": CLIP_TOKENS,
        "tokenizer_3": t5_tokens(T5_TOKENS, optional=True),
    }
    index = INDEX
    layouts = {
        "transformer": (Layout(DENOISER, piece), Layout("", piece)),
        "vae": VAE_LAYOUTS,
        "text_encoder": (Layout(CLIP_L, names_text.transformers),),
        "text_encoder_2": (Layout(CLIP_G, names_text.transformers),),
        "text_encoder_3": (Layout(T5XXL, names_text.transformers),),
    }
    public = {"stabilityai/stable-diffusion-3.5-medium": "Stability AI Community License"}
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

    def largest_side(self, networks: Mapping[str, Any]) -> int | None:
        denoiser = networks["transformer"].config
        return denoiser.pos_embed_max_size * denoiser.patch_size if denoiser.pos_embed_max_size else None

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


FAMILY = StableDiffusion3()
