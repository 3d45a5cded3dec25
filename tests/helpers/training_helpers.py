"""Small sets of noise that a tiny model can be trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from evalsuite.training import model, preprocessing
from evalsuite.training.data.datasets import Data
from evalsuite.training.distributed import World
from evalsuite.training.loop import Classifier
from evalsuite.training.recipe import Recipe, make_recipe
from shards import ImageSet
from shards.mixing.tensors import TensorSet

TINY = "test_efficientnet"
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
        }
    )
    return TensorSet([ImageSet(rows, ["a", "b", "c"])]).with_values(values)


def data(**options: Any) -> Data:
    return Data(
        images(24, seed=1, **options),
        images(12, seed=2, **options),
        images(12, seed=3, **options),
        images(60, seed=4, synthetic=True, name="s", **options),
        ((),),
        np.zeros(60, dtype=np.int64),
        "digest",
    )


def recipe(**changes: object) -> Recipe:
    return make_recipe(**{"model": TINY, "size": 32, "steps": 4, "batch": 6, "evaluate_every": 2, **changes})


def classifier(made: Recipe) -> Classifier:
    """A new model of three classes on images."""
    network = model.build(made, 3)
    return Classifier(made, network, preprocessing.of_images(network, made.augment, CPU), ALONE)
