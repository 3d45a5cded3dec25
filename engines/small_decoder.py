"""A small decoder in the place of a VAE's own: diffusers' `AutoencoderTiny`, distilled from it or ready-made (TAESD).

A pipeline folder may hold one beside its parts. Every engine of that folder decodes by it; images are still encoded by
the VAE, and the certificate says how far the two decoders are apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from engines.checkpoint.folder import refuse_code
from engines.checkpoint.skeleton import empty_network
from engines.checkpoint.weights import check_weights, load_part
from engines.errors import EngineError
from engines.models.tiny import SMALL

CHANNELS = 3


class SmallDecoder(nn.Module):
    """Latents in the VAE's scale -> pixels of -1..1, [n, 3, H, W]: what a VAE's own decoder takes and gives.

    Tiny decoders take latents in the denoiser's scale, which their own scale and shift may change once more.
    """

    def __init__(self, tiny: Any, vae: Any) -> None:
        super().__init__()
        self.decoder, self.shift = tiny.decoder, float(vae.config.shift_factor or 0)
        self.gain, self.offset = vae.config.scaling_factor / tiny.config.scaling_factor, tiny.config.shift_factor

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        own = (latents.float() - self.shift) * self.gain + self.offset
        out: torch.Tensor = self.decoder(own.to(latents.dtype))
        return out


def has_small_decoder(folder: Path) -> bool:
    """Whether a pipeline folder holds a small decoder."""
    return (folder / SMALL).is_dir()


def load_network(folder: Path, part: str, int8: bool = False) -> Any:
    """One network of a pipeline folder in float32, as engines run it; see `load_part`."""
    network = load_part(folder, part, int8)
    return with_small_decoder(folder, network) if part == "vae" and has_small_decoder(folder) else network


def with_small_decoder(folder: Path, vae: Any) -> Any:
    """The VAE with the folder's small decoder in the place of its own. Changes the VAE."""
    vae.post_quant_conv = None  # the small decoder is trained without it
    vae.decoder = SmallDecoder(load_part(folder, SMALL).to(vae.device), vae).eval()
    return vae


def check_small_decoder(folder: Path, vae: Any, factor: int) -> None:
    """Refuse a small decoder that does not decode the latents of a VAE; no weight is read.

    Parameters
    ----------
    vae
        Its configuration.
    factor
        Pixels a side of an image for each of its latents.

    Raises
    ------
    EngineError
        It takes other latents, gives other images, or its files are incomplete, pickled or hold code.
    """
    refuse_code(folder, [SMALL])
    tiny = empty_network(folder, SMALL)
    check_weights(folder, SMALL, tiny)
    config, place = tiny.config, folder / SMALL
    if config.latent_channels != vae.latent_channels:
        raise EngineError(
            f"{place} decodes latents of {config.latent_channels} channels, and those of the pipeline have "
            f"{vae.latent_channels}: take one of this family of models, or `gen distill-decoder`"
        )
    if (got := config.upsampling_scaling_factor ** (len(config.num_decoder_blocks) - 1)) != factor:
        raise EngineError(
            f"{place} makes {got} pixels a side of each latent, and the pipeline's VAE makes {factor}: take one of "
            "this family of models, or `gen distill-decoder`"
        )
