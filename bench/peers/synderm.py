"""The published package's own generation loop (PyPI synderm 0.1.4), made to run where ours is measured.

It refuses anything but CUDA and takes every model for one of 512 px. Its source is used as it is but for these
replacements, each of which makes it faster or leaves it equal:

- the check that the device is CUDA, and the device itself;
- loading the pipeline, which it does in every call: it is given one that is loaded already, in the precision and
  with the solver that are measured;
- latents an eighth of the image, by the autoencoder's own factor: else a 64 px model with a factor of 4 would be
  made to draw 128 px;
- photographs cut to 512 px, by the model's size: else it fails on its first contact sheet;
- inference mode, which it enters and never leaves: it would go on in whatever is measured after it;
- the title of its progress bar, whose experimental rich display floods a log.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from dermforge.common.errors import UserError

INSTALL = "pip install --no-deps synderm==0.1.4"
PATCHES = (
    ('if device != "cuda":', "if False:"),
    ("device = 'cuda'", "device = str(loaded.device)"),
    ("StableDiffusionPipeline.from_pretrained(", "give("),
    ("sample_size * 8", "sample_size * pipeline.vae_scale_factor"),
    ("label_filter=label_filter)", "label_filter=label_filter, size=resolution)"),
    ("ctx.__enter__()", ""),
    ("from tqdm.rich import tqdm", "tqdm = iter"),
    ("from synderm.generation.util import GenerationWrapper", ""),
)


def loop(
    pipeline: Any, classes: Sequence[str], prompt: str, steps: int, guidance: float, batch: int, per_class: int
) -> Callable[[Path], None]:
    """Text-to-image as the package does it, class by class, into a folder of PNG files.

    Parameters
    ----------
    pipeline
        A `StableDiffusionPipeline` that is loaded.
    prompt
        With {} where the class goes.

    Raises
    ------
    UserError
        The package is not installed, or is another version.
    """
    module = _patched(pipeline)
    grey = Image.fromarray(np.full((64, 64, 3), 128, dtype=np.uint8))

    def run(folder: Path) -> None:
        for label in classes:
            photos = [{"id": f"{label}-{i}", "image": grey, "label": label} for i in range(per_class)]
            with torch.inference_mode():
                module.generate_synthetic_dataset(
                    photos,
                    generation_type="text-to-image",
                    model_path="",
                    label_filter=label,
                    output_dir_path=folder,
                    batch_size=batch,
                    guidance_scale=guidance,
                    num_inference_steps=steps,
                    instance_prompt=prompt,
                )

    return run


def _patched(pipeline: Any) -> ModuleType:
    spec = importlib.util.find_spec("synderm")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the peer synderm is not installed: {INSTALL}, or leave it out of --peer")
    folder = Path(spec.submodule_search_locations[0], "generation")
    module = ModuleType("synderm_patched")
    module.__dict__.update(loaded=pipeline, give=lambda *_, **__: pipeline)
    source = (folder / "generate.py").read_text()
    for old, new in PATCHES:
        if old not in source:
            raise UserError(f"this synderm is not version 0.1.4 ({old!r} is not in its generate.py); install that one")
        source = source.replace(old, new)
    for text in ((folder / "util.py").read_text(), source):
        exec(compile(text, str(folder), "exec"), module.__dict__)
    return module
