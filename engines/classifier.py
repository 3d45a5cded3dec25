"""A trained classifier from its folder, for counting the labels that an engine changes.

The folder is what `evalsuite train` writes: `model.safetensors`, and `checkpoint.json` with the timm model's name, its
image side and its classes. Only those are read, so engines need nothing of the suite.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from engines.certificate import Classify
from engines.errors import EngineError


class _Recipe(BaseModel):
    model: str
    size: int


class _Checkpoint(BaseModel):
    recipe: _Recipe
    classes: list[str]


def open_classifier(folder: Path) -> Classify:
    """uint8 images [n, H, W, 3] -> positions of their classes [n], on the CPU.

    Raises
    ------
    EngineError
        The folder is no checkpoint, or its weights do not fit the model it names.
    """
    import timm
    from timm.data import resolve_model_data_config

    record, weights = folder / "checkpoint.json", folder / "model.safetensors"
    try:
        found = _Checkpoint.model_validate_json(record.read_bytes())
        model = timm.create_model(found.recipe.model, num_classes=len(found.classes)).eval()
        model.load_state_dict(load_file(weights))
    except (OSError, ValidationError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EngineError(
            f"{folder} is not a classifier ({reason}): give a folder that `evalsuite train --out` wrote"
        ) from error
    config, side = resolve_model_data_config(model), found.recipe.size
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))

    def classify(images: np.ndarray) -> np.ndarray:
        labels = []
        with torch.inference_mode():
            for image in torch.from_numpy(images).permute(0, 3, 1, 2).split(32):
                pixels = torch.nn.functional.interpolate(image / 255, (side, side), mode="bilinear", antialias=True)
                labels.append(model((pixels - mean) / std).argmax(1))
        return torch.cat(labels).numpy()

    return classify
