"""Images from the network as it is now: sheets to look at, and the images of prior preservation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gen import masks
from gen.finetune.base import Base
from gen.finetune.examples import Examples
from gen.finetune.settings import Settings
from gen.finetune.views import view
from shards.atomic import write_whole
from shards.console import progress
from shards.images import encode_image

Images = NDArray[np.uint8]

ROWS = 8
CELLS = 36


@torch.no_grad()
def draw(
    base: Base, prompts: Sequence[str], seeds: Sequence[int], steps: int, guidance: float,
    sources: Sequence[Images] | None = None,
) -> Iterator[Images]:
    """Images by the pipeline's own sampler, uint8 [size, size, 3] each, on the device that its UNet is on.

    Parameters
    ----------
    sources
        For inpainting: what is kept around the paper's centre square; without, all is drawn anew.
    """
    size, device = base.facts.size, base.pipeline.unet.device
    for start in range(0, len(prompts), ROWS):
        chosen = range(start, min(start + ROWS, len(prompts)))
        generators = [torch.Generator("cpu").manual_seed(seeds[i]) for i in chosen]
        base.pipeline.to(device)
        options = {"num_inference_steps": steps, "guidance_scale": guidance, "generator": generators,
                   "height": size, "width": size, "output_type": "np"}
        text = [prompts[i] for i in chosen]
        if base.inpaint:
            region = masks.centre(size) if sources else np.ones((size, size), dtype=bool)
            grey = np.full((size, size, 3), 127, dtype=np.uint8)
            images = [Image.fromarray(sources[i] if sources else grey) for i in chosen]
            region_image = Image.fromarray(region.astype(np.uint8) * 255)
            drawn = base.pipeline(text, images, [region_image] * len(text), strength=1.0, **options).images
        else:
            drawn = base.pipeline(text, **options).images
        yield from (np.nan_to_num(drawn) * 255).round().clip(0, 255).astype(np.uint8)


def prior_images(base: Base, settings: Settings, folder: Path) -> None:
    """Draw what the base model makes of the prior prompt, into a folder; images that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(settings.prior) if not (folder / f"{i:06d}.png").exists()]
    with progress("draw prior images", len(missing)) as tick:
        drawn = draw(base, [settings.prior_prompt] * len(missing), [settings.seed + i for i in missing], 50, 3.0)
        for number, image in zip(missing, drawn, strict=True):
            write_whole(folder / f"{number:06d}.png", encode_image(image))
            tick()


def sheet(base: Base, examples: Examples, path: Path, seed: int, steps: int, guidance: float) -> Images:
    """One image a cell, classes downwards and groups across, of the same seeds every time; written as PNG."""
    cells = examples.cells.head(CELLS)
    prompts = [examples.prompts[i] for i in cells["prompt"]]
    sources = None
    if base.inpaint:
        found = (examples.data.image_at(row) for row in cells["row"])
        sources = [_bytes(view(image, base.facts.size, 0, sample.id, 0)) for sample, image in found]
    drawn = list(draw(base, prompts, [seed] * len(prompts), steps, guidance, sources))
    classes, groups = (list(dict.fromkeys(cells[c].map(str))) for c in ("class", "group"))
    size, band = base.facts.size, 12
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
