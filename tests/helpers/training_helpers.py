"""Small pools of noise that a tiny model can be trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from evalsuite.training.data.datasets import Data
from evalsuite.training.data.pool import Pool
from evalsuite.training.recipe import Recipe, make_recipe

TINY = "test_efficientnet"


def pool(
    n: int = 24, *, synthetic: bool = False, size: int = 32, seed: int = 0, width: int = 0, name: str = "r"
) -> Pool:
    """Images (or features) of three classes that a linear model can tell apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    if width:
        x = torch.from_numpy((rng.normal(size=(n, width)) + 4 * np.eye(3, width)[labels]).astype(np.float32))
    else:
        levels = 60 * labels[:, None, None, None] + rng.integers(0, 80, (n, 3, size, size))
        x = torch.from_numpy(levels.clip(0, 255).astype(np.uint8))
    ids = np.array([f"{name}{seed}-{i:03d}" for i in range(n)])
    return Pool(
        x,
        ids,
        ("a", "b", "c"),
        labels,
        np.full(n, synthetic),
        pd.DataFrame({"group": [f"g{i // 3 % 2}" for i in range(n)]}),
        ids,
        np.full(n, ""),
        np.full(n, "synthetic" if synthetic else "real"),
        np.full(n, "t2i" if synthetic else ""),
    )


def data(**options: int) -> Data:
    return Data(
        pool(24, seed=1, **options),
        pool(12, seed=2, **options),
        pool(12, seed=3, **options),
        pool(60, seed=4, synthetic=True, name="s", **options),
        ((),),
        np.zeros(60, dtype=np.int64),
        "digest",
    )


def recipe(**changes: object) -> Recipe:
    return make_recipe(**{"model": TINY, "size": 32, "steps": 4, "batch": 6, "evaluate_every": 2, **changes})
