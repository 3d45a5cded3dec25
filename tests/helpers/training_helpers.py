"""Small sets of noise that a tiny model can be trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file

from evalsuite.training import model, preprocessing
from evalsuite.training.data.datasets import Data
from evalsuite.training.distributed import World
from evalsuite.training.loop import Classifier
from evalsuite.training.recipe import Recipe, make_recipe
from shards import ImageSet
from shards.mixing.tensors import TensorSet

TINY = "test_efficientnet"
#: The same as options of a command.
SMALL = ("--model", TINY, "--weights", "scratch", "--size", "32")
CPU = torch.device("cpu")
ALONE = World(0, 1, CPU)


def images(
    n: int = 24, *, synthetic: bool = False, size: int = 32, seed: int = 0, width: int = 0, name: str = "r"
) -> TensorSet:
    """Images (or, with a width, features) of three classes that a linear model can tell apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    if width:
        values = torch.from_numpy((rng.normal(size=(n, width)) + 4 * np.eye(3, width)[labels]).astype(np.float32))
    else:
        levels = 60 * labels[:, None, None, None] + rng.integers(0, 80, (n, 3, size, size))
        values = torch.from_numpy(levels.clip(0, 255).astype(np.uint8))
    rows = pd.DataFrame(
        {
            "id": [f"{name}{seed}-{i:03d}" for i in range(n)],
            "class": ["abc"[label] for label in labels],
            "origin": "synthetic" if synthetic else "real",
            "group": [f"g{i // 3 % 2}" for i in range(n)],
            "strategy": "t2i" if synthetic else None,
            "parent": None,
            "cluster": None,
            "image_sha256": [hashlib.sha256(value.numpy().tobytes()).hexdigest() for value in values],
        }
    )
    return TensorSet([ImageSet(rows, ["a", "b", "c"])]).with_values(values)


def publish(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Put weights of a timm model into a cache of the hub, which itself is out of reach; the weights."""
    torch.manual_seed(11)
    network = timm.create_model(name)
    state = {k: v.contiguous() for k, v in network.state_dict().items()}
    folder = cache / ("models--" + network.pretrained_cfg["hf_hub_id"].replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(state, folder / "snapshots" / ("0" * 40) / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return state


def data(**options: Any) -> Data:
    return Data(
        images(24, seed=1, **options),
        images(12, seed=2, **options),
        images(12, seed=3, **options),
        images(60, seed=4, synthetic=True, name="s", **options),
        ((),),
        np.zeros(60, dtype=np.int64),
        b"header",
    )


def recipe(**changes: object) -> Recipe:
    return make_recipe(**{"model": TINY, "size": 32, "steps": 4, "batch": 6, "evaluate_every": 2, **changes})


def classifier(made: Recipe) -> Classifier:
    """A new model of three classes on images."""
    network = model.build(made, 3)
    return Classifier(made, network, preprocessing.of_images(network, made.augment, CPU), ALONE)
