"""The names that checkpoints have for the weights of text encoders: those of transformers, and OpenCLIP's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engines.single_file.piece import KEY, QUERY, VALUE, Piece

TOP = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
}
LAYERS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
ROWS = {"q": QUERY, "k": KEY, "v": VALUE}


def transformers(name: str, config: Mapping[str, Any]) -> Piece | None:
    """Of a weight of CLIP or T5, as transformers names it."""
    return Piece(name)


def early_transformers(name: str, config: Mapping[str, Any]) -> Piece | None:
    """The same in files of tools that left `text_model.` out."""
    return Piece(name.removeprefix("text_model."))


def open_clip(name: str, config: Mapping[str, Any]) -> Piece | None:
    """Of a weight of CLIP, in OpenCLIP's names; its projection multiplies from the other side."""
    if name == "text_projection.weight":
        return Piece("text_projection", turned=True)
    if name in TOP:
        return Piece(TOP[name])
    m = re.fullmatch(r"text_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
    if not m:
        return None
    block = f"transformer.resblocks.{m[1]}"
    if attention := re.fullmatch(r"self_attn\.([qkv])_proj", m[2]):
        return Piece(f"{block}.attn.in_proj_{m[3]}", rows=ROWS[attention[1]])
    return Piece(f"{block}.{LAYERS[m[2]]}.{m[3]}") if m[2] in LAYERS else None
