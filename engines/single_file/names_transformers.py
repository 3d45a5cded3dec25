"""The names that Stability's and Black Forest Labs' own code has for the weights of SD 3 and of FLUX.1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engines.single_file.piece import KEY, QUERY, VALUE, Piece

ROWS = {"q": QUERY, "k": KEY, "v": VALUE}
SD3_TOP = {
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
}
SD3_BLOCK = {
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
FLUX_TOP = {
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
FLUX_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
FLUX_SINGLE = {"norm.linear": "modulation.lin", "proj_out": "linear2"}
#: One matrix of seven parts: queries, keys, values, and four of the layer beside them.
FLUX_LINEAR1 = {"attn.to_q": (0, 1, 7), "attn.to_k": (1, 2, 7), "attn.to_v": (2, 3, 7), "proj_mlp": (3, 7, 7)}
FLUX_NORMS = {"norm_q": "query_norm", "norm_k": "key_norm", "norm_added_q": "query_norm", "norm_added_k": "key_norm"}


def sd3(name: str, config: Mapping[str, Any]) -> Piece | None:
    """Of a weight of `SD3Transformer2DModel`."""
    if name == "pos_embed.pos_embed":
        return Piece("pos_embed")
    module, _, last = name.rpartition(".")
    if module in SD3_TOP:
        return Piece(f"{SD3_TOP[module]}.{last}")
    if module == "norm_out.linear":
        return Piece(f"final_layer.adaLN_modulation.1.{last}", swapped=True)
    m = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", module)
    if not m:
        return None
    block = f"joint_blocks.{m[1]}"
    if q := re.fullmatch(r"(attn2?)\.to_([qkv])", m[2]):
        return Piece(f"{block}.x_block.{q[1]}.qkv.{last}", rows=ROWS[q[2]])
    if q := re.fullmatch(r"attn\.add_([qkv])_proj", m[2]):
        return Piece(f"{block}.context_block.attn.qkv.{last}", rows=ROWS[q[1]])
    if m[2] not in SD3_BLOCK:
        return None
    ends = m[2] == "norm1_context.linear" and int(m[1]) == config["num_layers"] - 1
    return Piece(f"{block}.{SD3_BLOCK[m[2]]}.{last}", swapped=ends)


def flux(name: str, config: Mapping[str, Any]) -> Piece | None:
    """Of a weight of `FluxTransformer2DModel`."""
    module, _, last = name.rpartition(".")
    if module in FLUX_TOP:
        return Piece(f"{FLUX_TOP[module]}.{last}")
    if module == "norm_out.linear":
        return Piece(f"final_layer.adaLN_modulation.1.{last}", swapped=True)
    m = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.+)", module)
    if not m:
        return None
    block, layer = f"{'single' if m[1] else 'double'}_blocks.{m[2]}", m[3]
    norm = layer.removeprefix("attn.")
    if norm in FLUX_NORMS:
        side = "" if m[1] else "txt_attn." if "added" in norm else "img_attn."
        return Piece(f"{block}.{side}norm.{FLUX_NORMS[norm]}.scale")
    if m[1]:
        if layer in FLUX_LINEAR1:
            return Piece(f"{block}.linear1.{last}", rows=FLUX_LINEAR1[layer])
        return Piece(f"{block}.{FLUX_SINGLE[layer]}.{last}") if layer in FLUX_SINGLE else None
    if q := re.fullmatch(r"attn\.(to|add)_([qkv])(_proj)?", layer):
        return Piece(f"{block}.{'img' if q[1] == 'to' else 'txt'}_attn.qkv.{last}", rows=ROWS[q[2]])
    return Piece(f"{block}.{FLUX_DOUBLE[layer]}.{last}") if layer in FLUX_DOUBLE else None
