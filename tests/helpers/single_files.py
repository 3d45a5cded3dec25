"""Checkpoints in one file, made from tiny pipelines: their weights under the names of the models' own code.

The names come from `engines.single_file` itself; that they are the right ones is tested with diffusers' own converters.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    DDIMScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from family_pipelines import clip, clip_tokenizer, vae
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from engines.checkpoint.skeleton import empty_network, parts_of, read_family
from engines.checkpoint.weights import load_part, own_names
from engines.single_file.layouts import Layout, averaged
from engines.single_file.piece import Piece
from engines.single_file.tokenizers import write_clip

Tensors = dict[str, torch.Tensor]


def sd(
    folder: Path, *, second: bool = False, in_channels: int = 4, seed: int = 6, tokens: tuple[int, int] | None = None
) -> Path:
    """Stable Diffusion 1.x or 2.x at 64 pixels; tokens: how many are known, and those of a prompt, of CLIP itself."""
    torch.manual_seed(seed)
    tokenizer = clip_tokenizer(folder / "one", pad="!" if second else "<|endoftext|>")
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        layers_per_block=2,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=(2, 4) if second else 4,
        use_linear_projection=second,
        cross_attention_dim=32,
        norm_num_groups=8,
    )
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    scheduler = (
        DDIMScheduler(**settings, clip_sample=False, set_alpha_to_one=False, prediction_type="v_prediction")
        if second
        else PNDMScheduler(**settings, skip_prk_steps=True)
    )
    text = clip(CLIPTextModel, 32, 16, tokenizer)
    if tokens is not None:
        known, length = tokens
        text = CLIPTextModel(CLIPTextConfig(**{
            **text.config.to_dict(), "vocab_size": known, "max_position_embeddings": length, "eos_token_id": 2
        }))  # fmt: skip
        write_clip(folder / "clip", "!" if second else "<|endoftext|>")
        tokenizer = CLIPTokenizer.from_pretrained(folder / "clip")
    kind = StableDiffusionPipeline if in_channels == 4 else StableDiffusionInpaintPipeline
    pipeline = kind(
        vae=vae(4, scaling_factor=0.18215),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def pieces(folder: Path, part: str, layout: Layout) -> dict[str, Piece]:
    """Where the weights of a part are in a file, by the network's own names."""
    network = empty_network(folder, part)
    config = network.config.to_dict() if hasattr(network.config, "to_dict") else dict(network.config)
    found = {own: layout.piece(own, config) for own in own_names(folder, network.state_dict()).values()}
    assert all(found.values()), sorted(own for own, piece in found.items() if piece is None)
    return {own: piece for own, piece in found.items() if piece is not None}


def part_tensors(folder: Path, part: str, layout: Layout, dtype: torch.dtype = torch.float32) -> Tensors:
    """A part's weights as a checkpoint has them."""
    weights = own_weights(folder, part)
    rows: dict[str, dict[int, torch.Tensor]] = {}
    for own, piece in pieces(folder, part, layout).items():
        value = weights[own].to(dtype)
        if piece.swapped:
            value = torch.cat(value.chunk(2)[::-1])
        if piece.turned:
            value = value.T
        if piece.name.startswith(("encoder.mid.attn_1", "decoder.mid.attn_1")) and value.ndim == 2:
            value = value[..., None, None]  # the VAE's attention is made of convolutions there
        rows.setdefault(layout.prefix + piece.name, {})[piece.rows[0] if piece.rows else 0] = value
    return {name: torch.cat([some[at] for at in sorted(some)]).contiguous() for name, some in rows.items()}


def own_weights(folder: Path, part: str) -> Tensors:
    """A part's weights under the names that all versions of the libraries have for them."""
    state = load_part(folder, part).state_dict()
    return {own: state[name] for name, own in own_names(folder, state).items()}


def checkpoint(
    folder: Path, path: Path, *, layout: int = 0, without: tuple[str, ...] = (), dtype: torch.dtype = torch.float32,
    average: Path | None = None, more: Tensors | None = None,
) -> Path:  # fmt: skip
    """A pipeline folder as one file.

    layout: which of the layouts, the last one where a part has fewer. average: a folder whose denoiser is written as
    the average over the training.
    """
    family, tensors = read_family(folder), dict(more or {})
    for part in parts_of(folder):
        if part not in without:
            layouts = family.layouts[part]
            tensors |= part_tensors(folder, part, layouts[min(layout, len(layouts) - 1)], dtype)
    if average is not None:
        found = part_tensors(average, family.denoiser, family.layouts[family.denoiser][0], dtype)
        tensors |= {averaged(name): value for name, value in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path
