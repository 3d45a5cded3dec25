"""The published package's own generation loop (PyPI synderm 0.1.4), made to run where ours is measured.

It refuses anything but CUDA. Its source is used as it is but for these replacements, each of which makes it
faster or leaves it equal:

- the check that the device is CUDA, and the device itself;
- half precision, which a CPU does not have, by single precision;
- loading the pipeline, which it does in every call: it is given one that is loaded already;
- the title of its progress bar, whose experimental rich display floods a log.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from shards.errors import UserError

PATCHES = (
    ('if device != "cuda":', "if False:"),
    ("device = 'cuda'", "device = str(loaded.device)"),
    ("dtype = torch.float16", "dtype = torch.float32"),
    ("from tqdm.rich import tqdm", "tqdm = iter"),
    ("StableDiffusionPipeline.from_pretrained(", "give("),
    ("from synderm.generation.util import GenerationWrapper", ""),
)


def loop(pipeline: Any, classes: Sequence[str], prompt: str, steps: int, guidance: float, batch: int,
         per_class: int) -> Callable[[Path], None]:
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
            module.generate_synthetic_dataset(
                photos, generation_type="text-to-image", model_path="", label_filter=label, output_dir_path=folder,
                batch_size=batch, guidance_scale=guidance, num_inference_steps=steps, instance_prompt=prompt,
            )

    return run


def _patched(pipeline: Any) -> ModuleType:
    spec = importlib.util.find_spec("synderm")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the peer synderm is not installed: pip install --no-deps synderm==0.1.4, or leave it out")
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
