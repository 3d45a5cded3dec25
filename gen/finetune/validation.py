"""Images of the network in training: sheets to look at, and the images of prior preservation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dermforge.common.atomic import write_whole
from dermforge.common.progress import Progress, silent
from dermforge.common.sealed_file import is_reusable, write_sealed
from engines.backends.torch_eager import Modules, eager, no_grad
from engines.engine import Networks
from gen.finetune.base import Base
from gen.finetune.data.examples import Examples
from gen.finetune.methods import PromptedDenoiser
from gen.finetune.settings import Hyperparameters
from gen.plan.cells import group_or_none
from gen.plan.parents import Parents
from gen.plan.plan import PlanRow
from gen.sampling.in_memory import sample_images
from shards.format.images import encode_image
from shards.format.mark import Mark

BATCH = 8
CELLS = 36


def networks(base: Base, network: PromptedDenoiser) -> Networks:
    """The networks as they are now, on the base's device; they read the prompts that the network was made with.

    A prompt has its number in the network in place of token ids: most text encoders are gone by now.
    """
    spec, device = network.drawn_as(base.spec), base.device
    network.to(device)
    number = {text: i for i, text in reversed(list(enumerate(network.prompts)))}
    calls = eager(Modules({}, network.denoiser, base.vae.to(device)), spec, device)
    calls = replace(calls, text=no_grad(lambda ids: network.text(ids[:, 0])))
    return Networks(spec, calls, lambda texts: _filled([number[t] for t in texts], spec.max_length), 2 * BATCH, BATCH)


def _filled(numbers: list[int], width: int) -> torch.Tensor:
    return torch.tensor(numbers)[:, None].repeat(1, width)


def prior_images(
    base: Base, network: PromptedDenoiser, settings: Hyperparameters, folder: Path, progress: Progress = silent
) -> None:
    """Draw the base model's images of the prior prompt into a folder; those that are there and whole are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(settings.prior) if not is_reusable(folder / f"{i:06d}.png")]
    drawer = networks(base, network)
    with progress("draw prior images", len(missing)) as tick:
        for start in range(0, len(missing), BATCH):
            chosen = missing[start : start + BATCH]
            rows = [row(base, settings.prior_prompt, settings.seed + i, steps=50) for i in chosen]
            for number, image in zip(chosen, sample_images(drawer, rows), strict=True):
                write_sealed(folder / f"{number:06d}.png", [encode_image(image, mark=Mark("trainedAlgorithmicMedia"))])
                tick()


def sheet(
    base: Base, network: PromptedDenoiser, examples: Examples, path: Path, seed: int, settings: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """One image of each cell, classes downwards and groups across, always with the same seeds; written as PNG.

    An inpainting model redraws the middle of a training image of the cell.

    Parameters
    ----------
    settings
        Steps, guidance and other settings of the plan rows.
    """
    cells = examples.cells.head(CELLS)
    rows = []
    for prompt, position in zip(cells["prompt"], cells["row"], strict=True):
        parent = {"strategy": "inpaint", "parent": examples.data.rows["id"].iloc[position]} if base.inpaint else {}
        rows.append(row(base, examples.prompts[prompt], seed, **settings, **parent))
    drawn = sample_images(networks(base, network), rows, Parents(examples.data, "the training images"))
    names = [(str(label), group_or_none(group)) for label, group in zip(cells["class"], cells["group"], strict=True)]
    classes, groups = (list(dict.fromkeys(column)) for column in zip(*names, strict=True))
    size, band = base.spec.size, 12
    page = Image.new("RGB", (len(groups) * size, len(classes) * (size + band)), "white")
    pen = ImageDraw.Draw(page)
    for (label, group), image in zip(names, drawn, strict=True):
        x, y = groups.index(group) * size, classes.index(label) * (size + band)
        pen.text((x + 1, y), f"{label} {group or ''}", fill="black", font_size=band - 4)
        page.paste(Image.fromarray(image), (x, y + band))
    result: NDArray[np.uint8] = np.array(page)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode_image(result, mark=Mark("compositeSynthetic")))
    return result


def row(base: Base, prompt: str, seed: int, **settings: Any) -> PlanRow:
    """A plan row for a look at the network: from pure noise, by DPM-Solver++(2M)."""
    given = {"id": "validation", "class": "validation", "prompt": prompt, "seed": seed, "size": base.spec.size}
    return PlanRow.model_validate({**given, "strength": 1.0, **settings})
