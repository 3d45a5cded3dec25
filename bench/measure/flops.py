"""Arithmetic of an image: every convolution, linear layer and attention product, counted without data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from engines.pipeline_spec import PipelineSpec


@dataclass(frozen=True)
class Flops:
    """FLOPs (twice the multiply-adds) of one prompt, one batch row, one decoded and one encoded image."""

    text: float
    unet: float
    decode: float
    encode: float

    def image(self, rows: float) -> float:
        """Of one image that takes this many batch rows of the UNet; the prompt is encoded once for many images."""
        return rows * self.unet + self.decode


def count(model: Path, spec: PipelineSpec) -> Flops:
    """The FLOPs of a pipeline folder at the size in its spec; nothing is loaded or computed.

    Attention counts as its two matrix products, even if a fused kernel runs them.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(model / "unet")).eval()
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(model / "vae")).eval()
        text = CLIPTextModel(CLIPTextConfig.from_pretrained(model / "text_encoder")).eval()
    return count_networks(text, unet, vae, spec)


def count_networks(text_encoder: Any, unet: Any, vae: Any, spec: PipelineSpec) -> Flops:
    """`count` of networks that are on the meta device."""
    side, length = spec.latent_size, spec.max_length
    with torch.device("meta"):
        latents = torch.empty(1, spec.latent_channels, side, side)
        rows = torch.empty(1, spec.unet_in_channels, side, side)
        pixels = torch.empty(1, 3, spec.size, spec.size)
        words = torch.empty(1, *spec.conditioning["text"])
        ids = torch.ones(1, length, dtype=torch.int64)
        time = torch.ones(1)
        return Flops(
            text=_counted(lambda: text_encoder(ids)),
            unet=_counted(lambda: unet(rows, time, words)),
            decode=_counted(lambda: vae.decode(latents)),
            encode=_counted(lambda: vae.encode(pixels)),
        )


def _counted(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops())
