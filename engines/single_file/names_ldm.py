"""The names that CompVis' latent-diffusion and Stability's code have for the weights of a UNet and of a VAE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engines.single_file.piece import Piece

TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
VAE_LAYERS = {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut"}


def unet(name: str, config: Mapping[str, Any]) -> Piece | None:
    """Of a weight of `UNet2DConditionModel`; blocks are counted through, with samplers in their places."""
    module, _, last = name.rpartition(".")
    if module in TOP:
        return Piece(f"{TOP[module]}.{last}")
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        return None
    if m := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", module):
        place = 1 if m[1] == "attentions" else 2 * int(m[2])
        return Piece(f"middle_block.{place}.{_layer(m[1], m[3])}.{last}")
    if m := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", module):
        number = int(m[2]) * (layers + 1) + int(m[4]) + (m[1] == "down")
        side = "input_blocks" if m[1] == "down" else "output_blocks"
        return Piece(f"{side}.{number}.{int(m[3] == 'attentions')}.{_layer(m[3], m[5])}.{last}")
    if m := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv", module):
        return Piece(f"input_blocks.{(int(m[1]) + 1) * (layers + 1)}.0.op.{last}")
    if m := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.conv", module):
        attention = "Attn" in config["up_block_types"][int(m[1])]
        return Piece(f"output_blocks.{int(m[1]) * (layers + 1) + layers}.{1 + attention}.conv.{last}")
    return None


def _layer(kind: str, name: str) -> str:
    return RESNET.get(name, name) if kind == "resnets" else name


def vae(name: str, config: Mapping[str, Any]) -> Piece | None:
    """Of a weight of `AutoencoderKL`; the decoder's blocks are counted from the image."""
    last_block = len(config["up_block_types"]) - 1
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{last_block - int(m[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{last_block - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if m := re.fullmatch(r"(.*)mid_block\.attentions\.0\.(.+)\.(\w+)", name):
        return Piece(f"{m[1]}mid.attn_1.{VAE_ATTENTION[m[2]]}.{m[3]}") if m[2] in VAE_ATTENTION else None
    for own, theirs in VAE_LAYERS.items():
        name = name.replace(f".{own}.", f".{theirs}.")
    return Piece(name)
