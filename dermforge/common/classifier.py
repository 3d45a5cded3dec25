"""A trained classifier on disk, as far as every room may know it: what `evalsuite train` writes and others only run.

The folder holds `model.safetensors`, and `checkpoint.json` with the timm model's name, its image side and its classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError, first_line
from dermforge.common.regular_file import WEIGHTS_SIZE, read_regular
from dermforge.common.sealed_file import opened_json

WEIGHTS, RECORD = "model.safetensors", "checkpoint.json"


def read_record(folder: Path) -> bytes:
    """The JSON of a classifier, as it was written.

    Raises
    ------
    UserError
        It is damaged, or no regular file.
    """
    return opened_json(read_regular(folder / RECORD), folder / RECORD, "train it again")


def read_weights(folder: Path, sha256: str | None) -> dict[str, torch.Tensor]:
    """The weights of a classifier, with the digest that its record has; earlier records have none.

    Raises
    ------
    UserError
        They are damaged.
    """
    path = folder / WEIGHTS
    content = read_regular(path, WEIGHTS_SIZE)
    if sha256 is not None and digest_bytes(content) != sha256:
        raise UserError(f"{path} is damaged (its sha256 is not that of {RECORD}); train it again")
    weights: dict[str, torch.Tensor] = load(content)
    return weights


class _Recipe(BaseModel):
    model: str
    size: int


class _Record(BaseModel):
    recipe: _Recipe
    classes: list[str]
    weights_sha256: str | None = None


def open_classifier(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Read a classifier: a function of uint8 images [n, H, W, 3] that gives the index of each one's class, int64 [n].

    It runs on the CPU.

    Raises
    ------
    UserError
        The folder is no checkpoint, or its weights do not fit the model it names.
    """
    import timm
    from timm.data import resolve_model_data_config

    try:
        record = _Record.model_validate_json(read_record(folder))
        model = timm.create_model(record.recipe.model, num_classes=len(record.classes)).eval()
        model.load_state_dict(read_weights(folder, record.weights_sha256))
    except (OSError, ValidationError, SafetensorError, RuntimeError) as error:
        reason = first_line(error)
        raise UserError(
            f"{folder} is not a classifier ({reason}): give a folder that `evalsuite train` wrote"
        ) from error
    config, side = resolve_model_data_config(model), record.recipe.size
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))

    def classify(images: np.ndarray) -> np.ndarray:
        labels = []
        with torch.inference_mode():
            for image in torch.from_numpy(images).permute(0, 3, 1, 2).split(32):
                pixels = torch.nn.functional.interpolate(image / 255, (side, side), mode="bilinear", antialias=True)
                labels.append(model((pixels - mean) / std).argmax(1))
        return torch.cat(labels).numpy()

    return classify
