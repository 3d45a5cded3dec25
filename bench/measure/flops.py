"""Arithmetic of an image: every convolution, linear layer and attention product, counted without data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from engines.conditioning import empty
from engines.models import families
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
    from engines.checkpoint.skeleton import empty_network

    return count_networks({part: empty_network(model, part).to("meta") for part in spec.networks}, spec)


def count_networks(networks: Mapping[str, Any], spec: PipelineSpec) -> Flops:
    """`count` of networks that are on the meta device, by part."""
    family, side, vae = families()[spec.family], spec.latent_size, networks["vae"]
    with torch.device("meta"):
        latents = torch.empty(1, spec.latent_channels, side, side)
        rows = torch.empty(1, spec.unet_in_channels, side, side)
        pixels = torch.empty(1, 3, spec.size, spec.size)
        words, time = empty(spec.conditioning, 1, "meta"), torch.ones(1)
        ids = [torch.ones(1, length, dtype=torch.int64) for length in spec.tokens.values()]
        encoders = list(zip(spec.text_encoders, ids, strict=True))
        return Flops(
            text=_counted(lambda: [family.text_outputs(part, networks[part], own) for part, own in encoders]),
            unet=_counted(lambda: family.predict(networks[spec.denoiser], rows, time, words, spec)),
            decode=_counted(lambda: vae.decode(latents)),
            encode=_counted(lambda: vae.encode(pixels)),
        )


def _counted(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops())
