"""The autoencoder's output for every view of every image: computed once, kept on disk, read row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors import safe_open
from torch import Tensor

from dermforge.common import tensor_files
from dermforge.common.console import progress
from engines.pipeline_spec import PipelineSpec
from gen.finetune.data import views
from gen.finetune.data.examples import Examples

ROWS = 8


@dataclass(frozen=True)
class CachedView:
    """One view in the UNet's scale. mean, std: [C, h, w]; for inpainting mask [1, h, w] and masked [C, h, w]."""

    mean: Tensor
    std: Tensor
    mask: Tensor | None = None
    masked: Tensor | None = None


class Latents:
    """The cached views of a set of images, a file a view.

    Parameters
    ----------
    identity
        What the content depends on: a file with another identity is written anew.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], n_views: int) -> None:
        self.folder, self.identity, self.n_views = folder, identity, n_views

    def path(self, view: int) -> Path:
        return self.folder / f"view-{view:04d}.safetensors"

    def missing(self) -> list[int]:
        """Views that are not there yet."""
        return [v for v in range(self.n_views) if tensor_files.record(self.path(v)) != self.identity]

    def row(self, image: int, view: int) -> CachedView:
        """One view of one image, read from the mapped file."""
        file = self._open[view]
        return CachedView(**{name: file.get_slice(name)[image] for name in file.keys()})  # noqa: SIM118

    @cached_property
    def _open(self) -> list[Any]:
        return [safe_open(self.path(v), "pt") for v in range(self.n_views)]


def encode(
    latents: Latents,
    examples: Examples,
    which: Sequence[int],
    vae: AutoencoderKL,
    spec: PipelineSpec,
    *,
    seed: int,
    jitter: float,
) -> None:
    """Compute the views numbered `which`; masks and masked images too where the UNet has nine channels."""
    latents.folder.mkdir(parents=True, exist_ok=True)
    inpaint = spec.unet_in_channels != spec.latent_channels
    with progress("encode views", len(which) * len(examples)) as tick:
        for number in which:
            parts: dict[str, list[Tensor]] = {}
            for batch in _batches(examples, spec.size, number, seed, jitter, inpaint):
                for name, value in _encode(vae, spec, *batch).items():
                    parts.setdefault(name, []).append(value)
                tick(len(batch[0]))
            tensor_files.write(latents.path(number), {k: torch.cat(v) for k, v in parts.items()}, latents.identity)


def _batches(
    examples: Examples, size: int, number: int, seed: int, jitter: float, inpaint: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    for start in range(0, len(examples), ROWS):
        pixels, masks = [], []
        for position in range(start, min(start + ROWS, len(examples))):
            sample, image = examples.data.image_at(position)
            pixels.append(views.view(image, size, seed, sample.id, number, jitter))
            if inpaint:
                masks.append(views.mask(size, seed, sample.id, number))
        yield torch.stack(pixels), torch.from_numpy(np.stack(masks))[:, None] if inpaint else None


@torch.no_grad()
def _encode(vae: AutoencoderKL, spec: PipelineSpec, pixels: Tensor, masks: Tensor | None) -> dict[str, Tensor]:
    posterior = vae.encode(pixels.to(vae.device)).latent_dist
    result = {
        "mean": (posterior.mean - spec.shift_factor) * spec.scaling_factor,
        "std": posterior.std * spec.scaling_factor,
    }
    if masks is not None:  # as diffusers' inpainting pipelines prepare them
        kept = vae.encode((pixels * ~masks).to(vae.device)).latent_dist.mean
        result["masked"] = (kept - spec.shift_factor) * spec.scaling_factor
        result["mask"] = torch.nn.functional.interpolate(masks.float(), size=(spec.latent_size, spec.latent_size))
    return {k: v.float().cpu() for k, v in result.items()}
