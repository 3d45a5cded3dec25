"""The small decoder, and what it learns from: the VAE's own images of the same latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from engines.pipeline_spec import PipelineSpec
from gen.decoder.settings import DecoderSettings
from gen.diffusion import noise
from gen.finetune.data.batches import LatentSource

#: Pixels a side over which colours are averaged before they are compared.
SCALES = (1, 2, 4, 8)
ENCODER_WIDTH = 8


@dataclass(frozen=True)
class LatentBatch:
    """latents: in the denoiser's scale, float32 [b, C, h, w]."""

    latents: Tensor

    def to(self, device: torch.device) -> LatentBatch:
        return LatentBatch(self.latents.to(device))


@dataclass(frozen=True)
class LatentBatches:
    """Latents of real images as the encoder's posterior has them, a pure function of (seed, step)."""

    source: LatentSource
    seed: int
    batch: int

    def part(self, step: int, positions: range) -> LatentBatch:
        """Some positions of a step's batch."""
        return LatentBatch(torch.stack([self._one(step * self.batch + i) for i in positions]))

    def _one(self, sample: int) -> Tensor:
        cached = self.source.latents.cached(*self.source.at(sample, self.seed))
        drawn = noise.normal(self.seed, f"{self.source.name}/{sample}", 0, cached.mean.shape)
        return cached.mean + cached.std * torch.from_numpy(drawn)


def new_student(vae: Any, spec: PipelineSpec, settings: DecoderSettings) -> AutoencoderTiny:
    """An untrained `AutoencoderTiny` that decodes a pipeline's latents; its encoder is of zeros, and is never trained.

    The shapes are TAESD's (Ollin Boer Bohan, https://github.com/madebyollin/taesd): three residual blocks before each
    doubling, one at the end, the same number of channels everywhere.
    """
    levels = spec.vae_scale_factor.bit_length()
    width = settings.width or max(4, vae.config.block_out_channels[0] // 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        tiny = AutoencoderTiny(
            latent_channels=spec.latent_channels,
            decoder_block_out_channels=(width,) * levels,
            num_decoder_blocks=(*[settings.blocks] * (levels - 1), 1),
            encoder_block_out_channels=(ENCODER_WIDTH,) * levels,
            num_encoder_blocks=(0,) * levels,
        )
    tiny.requires_grad_(False)
    for value in tiny.encoder.parameters():
        value.zero_()
    tiny.decoder.requires_grad_(True)
    return tiny


def images_of(vae: Any, spec: PipelineSpec) -> Callable[[Tensor], Tensor]:
    """Latents in the denoiser's scale -> the VAE's images, [b, 3, H, W] in [-1, 1]."""

    @torch.no_grad()
    def decode(latents: Tensor) -> Tensor:
        unscaled = latents / spec.scaling_factor + spec.shift_factor
        out: Tensor = vae.decode(unscaled, return_dict=False)[0]
        return out.clamp(-1, 1)

    return decode


def distance(teacher: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, LatentBatch], Tensor]:
    """The loss: L1 between both decoders' images at four scales (L1: Zhao et al. 2017, arXiv 1511.08861).

    The coarse scales weigh what is shared by neighbours, which the tone of skin is, more than grain.
    """

    def loss(student: nn.Module, batch: LatentBatch) -> Tensor:
        difference = student(batch.latents).float() - teacher(batch.latents)
        side = min(difference.shape[-2:])
        return torch.stack([F.avg_pool2d(difference, k).abs().mean() for k in SCALES if k <= side]).sum()

    return loss
