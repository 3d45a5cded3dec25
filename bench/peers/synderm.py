"""The generation loop of the published package (PyPI synderm 0.1.4), patched to run where ours is measured.

The package needs CUDA and assumes a model of 512 px. We use its source with these replacements; each makes it faster
or leaves its speed unchanged:

- it no longer checks that the device is CUDA, and uses the pipeline's device;
- it receives a loaded pipeline, with the precision and solver under measurement, instead of loading one in every call;
- it uses the autoencoder's own scale factor instead of 8, which would make a 64 px model draw 128 px;
- it cuts photographs to the model's size instead of 512 px, where it would fail on its first contact sheet;
- it does not enter inference mode, which it never leaves and which would affect later measurements;
- it uses no progress bar, because its experimental rich display floods a log.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.peers.workload import Workload
from dermforge.common.errors import UserError

INSTALL = "pip install --no-deps synderm==0.1.4"
PROMPT = "An image of {}, a skin disease"
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


def loop(pipeline: Any, work: Workload, batch: int) -> Callable[[Path], None]:
    """Text-to-image as the package does it, class by class, into a folder of PNG files.

    The package makes equally many images of each class, so the classes (at most six) divide the number of images.

    Parameters
    ----------
    pipeline
        A loaded `StableDiffusionPipeline`.

    Raises
    ------
    UserError
        The package is not installed, or is another version.
    """
    module = _patched(pipeline)
    n = len(work.rows)
    classes = [f"class{i}" for i in range(max(k for k in range(1, 7) if n % k == 0))]
    grey = Image.fromarray(np.full((64, 64, 3), 128, dtype=np.uint8))

    def run(folder: Path) -> None:
        for label in classes:
            photos = [{"id": f"{label}-{i}", "image": grey, "label": label} for i in range(n // len(classes))]
            with torch.inference_mode():
                module.generate_synthetic_dataset(
                    photos,
                    generation_type="text-to-image",
                    model_path="",
                    label_filter=label,
                    output_dir_path=folder,
                    batch_size=batch,
                    guidance_scale=work.guidance,
                    num_inference_steps=work.steps,
                    instance_prompt=PROMPT,
                )

    return run


def _patched(pipeline: Any) -> ModuleType:
    spec = importlib.util.find_spec("synderm")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the peer synderm is not installed: {INSTALL}, or leave it out of the peers")
    folder = Path(spec.submodule_search_locations[0], "generation")
    module = ModuleType("synderm_patched")
    module.__dict__.update(loaded=pipeline, give=lambda *_, **__: pipeline)
    source = (folder / "generate.py").read_text()
    for old, new in PATCHES:
        if old not in source:
            raise UserError(
                f"expected synderm 0.1.4, got another version ({old!r} is not in its generate.py): {INSTALL}"
            )
        source = source.replace(old, new)
    for text in ((folder / "util.py").read_text(), source):
        exec(compile(text, str(folder), "exec"), module.__dict__)
    return module
