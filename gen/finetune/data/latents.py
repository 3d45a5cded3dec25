"""The autoencoder's output for every view of every image: computed once, kept on disk, read one view at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import safe_open
from torch import Tensor

from dermforge.common import tensor_files
from dermforge.common.progress import Progress, Ticker, no_tick, silent
from gen.finetune.base import Base
from gen.finetune.data.examples import Examples
from gen.finetune.data.views import Views

BATCH = 8


@dataclass(frozen=True)
class CachedView:
    """One view in the denoiser's scale. mean, std: [C, h, w]; for inpainting mask [1, h, w] and masked [C, h, w]."""

    mean: Tensor
    std: Tensor
    mask: Tensor | None = None
    masked: Tensor | None = None


class Latents:
    """The cached views of a set of images, one file for each number of a view.

    Parameters
    ----------
    identity
        What the content depends on: a file with another identity is computed again.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], n_views: int) -> None:
        self.folder, self.identity, self.n_views = folder, identity, n_views

    def missing(self) -> list[int]:
        """Numbers of the views that are not there yet; that one is there and damaged is said (`DataWarning`)."""
        return [v for v in range(self.n_views) if tensor_files.cached(self._path(v), self.identity) is None]

    def encode(self, number: int, examples: Examples, views: Views, base: Base, tick: Ticker = no_tick) -> None:
        """Compute view `number` of all images; masks and masked images too for an inpainting denoiser."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parts: dict[str, list[Tensor]] = {}
        for pixels, masks in _batches(examples, views, number, base.inpaint):
            for name, value in encode_batch(base, pixels, masks).items():
                parts.setdefault(name, []).append(value)
            tick(len(pixels))
        tensor_files.write(self._path(number), {k: torch.cat(v) for k, v in parts.items()}, self.identity)

    def cached(self, image: int, view: int) -> CachedView:
        """One view of one image, read from the mapped file."""
        file = self._open[view]
        return CachedView(**{name: file.get_slice(name)[image] for name in {*file.keys()} - {tensor_files.DIGEST}})

    def _path(self, number: int) -> Path:
        return self.folder / f"view-{number:04d}.safetensors"

    @cached_property
    def _open(self) -> list[Any]:
        return [safe_open(self._path(v), "pt") for v in range(self.n_views)]


def encoded_views(
    folder: Path,
    n_views: int,
    base: Base,
    examples: Examples,
    views: Views,
    accelerator: Accelerator,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> Latents:
    """The cached views of some images; each process computes a part of what is missing."""
    identity = {"model": base.digest, "data": examples.digest} | asdict(views)
    cache = Latents(folder, identity, n_views)
    missing = cache.missing()
    if len(missing) < n_views:
        say(f"takes {n_views - len(missing)} of {n_views} encoded views from {folder}")
    own = missing[accelerator.process_index :: accelerator.num_processes]
    accelerator.wait_for_everyone()  # all have looked before one writes
    with progress("encode views", len(own) * len(examples)) as tick:
        for number in own:
            cache.encode(number, examples, views, base, tick)
    accelerator.wait_for_everyone()
    return cache


@torch.no_grad()
def encode_batch(base: Base, pixels: Tensor, masks: Tensor | None) -> dict[str, Tensor]:
    """What a `CachedView` holds, for a batch.

    Parameters
    ----------
    pixels
        float32 [b, 3, size, size] in [-1, 1].
    masks
        bool [b, 1, size, size], True where the image is to be filled in.
    """
    spec, vae = base.spec, base.vae
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


def _batches(examples: Examples, views: Views, number: int, inpaint: bool) -> Iterator[tuple[Tensor, Tensor | None]]:
    for start in range(0, len(examples), BATCH):
        pixels, masks = [], []
        for position in range(start, min(start + BATCH, len(examples))):
            sample, image = examples.data.image_at(position)
            pixels.append(views.view(image, sample.id, number))
            if inpaint:
                masks.append(views.mask(sample.id, number))
        yield torch.stack(pixels), torch.from_numpy(np.stack(masks))[:, None] if inpaint else None
