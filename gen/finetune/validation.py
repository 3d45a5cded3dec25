"""Images of the network in training: sheets to look at, and the images of prior preservation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dermforge.common.atomic import write_whole
from dermforge.common.progress import Progress, silent
from engines.draw import Step, denoise
from gen.diffusion import noise, solvers
from gen.diffusion.schedules import Array, NoiseSchedule
from gen.diffusion.steps import SolverState, StepTable, advance
from gen.diffusion.strategies import hide
from gen.finetune.base import Base
from gen.finetune.data.examples import Examples
from gen.finetune.data.views import Views
from gen.finetune.methods import token_ids
from gen.finetune.settings import Hyperparameters
from gen.plan import masks
from shards.format.images import encode_image

Images = NDArray[np.uint8]

ROWS = 8
CELLS = 36


@torch.no_grad()
def draw(
    base: Base,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    sources: Sequence[Images] | None = None,
) -> Iterator[Images]:
    """Images by DPM-Solver++(2M), uint8 [size, size, 3] each, on the device that the UNet is on.

    Parameters
    ----------
    sources
        For inpainting: images whose surroundings of the paper's centre square are kept; None redraws everything.
    """
    spec, parts = base.spec, base.pipeline
    device = parts.unet.device
    for part in (parts.vae, parts.text_encoder):
        part.to(device)

    def unet(*inputs: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = parts.unet(*inputs, return_dict=False)[0].float()
        return out

    table = solvers.table("dpmsolver++", NoiseSchedule.from_config(spec.scheduler), steps)
    nothing = _encoded(base, [""])
    for start in range(0, len(prompts), ROWS):
        chosen = range(start, min(start + ROWS, len(prompts)))
        text = torch.cat([_encoded(base, [prompts[i] for i in chosen]), nothing.expand(len(chosen), -1, -1)])
        shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
        begun = np.stack([noise.normal(seeds[i], "validation", noise.START, shape) for i in chosen])
        start_latents = torch.from_numpy(begun).to(device) * table.start_scale
        shown = _shown(base, sources and [sources[i] for i in chosen], len(chosen)) if base.inpaint else None
        latents = denoise(unet, _steps(table, start_latents), start_latents, text, guidance, shown)
        pixels = parts.vae.decode(latents / spec.scaling_factor + spec.shift_factor, return_dict=False)[0].float()
        yield from (_bytes(image) for image in torch.nan_to_num(pixels).cpu())


def _steps(table: StepTable, latents: torch.Tensor) -> Iterator[Step]:
    """The steps of a solver from these latents; they must be taken in order."""
    state = SolverState.start(latents)

    def update(coefficients: Array, prediction: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        nonlocal state
        state = advance(coefficients[None], state, prediction)
        return state.x

    for time, coefficients in zip(table.timesteps, table.coefficients, strict=True):
        yield torch.tensor(time), partial(update, coefficients)


def _encoded(base: Base, prompts: Sequence[str]) -> torch.Tensor:
    """Prompts as the UNet takes them, float32 [n, tokens, dim]."""
    encoder = base.pipeline.text_encoder
    ids = token_ids(base.pipeline.tokenizer, prompts, base.spec.max_length)
    encoded: torch.Tensor = encoder(ids.to(encoder.device))[0]
    return encoded.float()


def _shown(base: Base, sources: Sequence[Images] | None, n: int) -> torch.Tensor:
    """Mask and hidden image, float32 [n, 1 + C, h, w], for n images."""
    spec, vae = base.spec, base.pipeline.vae
    region = masks.centre(spec.size) if sources else np.ones((spec.size, spec.size), dtype=bool)
    grey = np.zeros((spec.size, spec.size, 3), dtype=np.uint8)
    hidden = np.stack([hide(image, region) for image in sources or [grey] * n])
    pixels = torch.from_numpy(hidden).permute(0, 3, 1, 2).float().to(vae.device) / 127.5 - 1
    latents = (vae.encode(pixels).latent_dist.mean.float() - spec.shift_factor) * spec.scaling_factor
    redraw = torch.from_numpy(masks.latent(region, spec.vae_scale_factor)).float().to(vae.device)
    return torch.cat([redraw.expand(n, 1, -1, -1), latents], dim=1)


def prior_images(base: Base, settings: Hyperparameters, folder: Path, progress: Progress = silent) -> None:
    """Draw the base model's images of the prior prompt into a folder; images that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(settings.prior) if not (folder / f"{i:06d}.png").exists()]
    with progress("draw prior images", len(missing)) as tick:
        drawn = draw(base, [settings.prior_prompt] * len(missing), [settings.seed + i for i in missing], 50, 3.0)
        for number, image in zip(missing, drawn, strict=True):
            write_whole(folder / f"{number:06d}.png", encode_image(image))
            tick()


def sheet(base: Base, examples: Examples, path: Path, seed: int, steps: int, guidance: float) -> Images:
    """One image of each cell, classes downwards and groups across, always with the same seeds; written as PNG."""
    cells = examples.cells.head(CELLS)
    prompts = [examples.prompts[i] for i in cells["prompt"]]
    sources = None
    if base.inpaint:
        found = (examples.data.image_at(row) for row in cells["row"])
        views = Views(base.spec.size, seed=0)
        sources = [_bytes(views.view(image, sample.id, 0)) for sample, image in found]
    drawn = list(draw(base, prompts, [seed] * len(prompts), steps, guidance, sources))
    classes, groups = (list(dict.fromkeys(cells[c].map(str))) for c in ("class", "group"))
    size, band = base.spec.size, 12
    page = Image.new("RGB", (len(groups) * size, len(classes) * (size + band)), "white")
    pen = ImageDraw.Draw(page)
    for (label, group), image in zip(cells[["class", "group"]].astype(str).to_numpy(), drawn, strict=True):
        x, y = groups.index(group) * size, classes.index(label) * (size + band)
        pen.text((x + 1, y), label if group == "None" else f"{label} {group}", fill="black", font_size=band - 4)
        page.paste(Image.fromarray(image), (x, y + band))
    result: Images = np.array(page)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode_image(result))
    return result


def _bytes(pixels: torch.Tensor) -> Images:
    return ((pixels.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
