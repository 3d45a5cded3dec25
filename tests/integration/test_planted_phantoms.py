"""Phantoms whose worth is known, from images to verdict: generated images as good as real ones are worth one each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from evalsuite.study import analysis, conduct
from evalsuite.study.design import Grid, new_study
from evalsuite.study.run_arms import Options
from evalsuite.training.data.datasets import Places
from evalsuite.training.recipe import make_recipe
from gen.phantoms.dataset import PhantomSplit, _round
from gen.phantoms.draw import CLASSES
from shards import ShardSet, ShardSetWriter

RINGS, SIZE = 16, 48


def rings(image: np.ndarray) -> np.ndarray:
    """Mean and spread of each colour in rings about the centre, less the skin: what tells phantoms apart."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    ring = np.minimum(np.hypot(x, y) / (SIZE / 2) * RINGS, RINGS - 1).astype(int).ravel()
    pixels, n = image.reshape(-1, 3).astype(float), np.bincount(ring, minlength=RINGS)
    mean = np.stack([np.bincount(ring, pixels[:, c], RINGS) / n for c in range(3)])
    square = np.stack([np.bincount(ring, pixels[:, c] ** 2, RINGS) / n for c in range(3)])
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return np.concatenate([(mean - mean[:, -1:]).ravel(), spread.ravel()])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> analysis.Analysis:
    folder = tmp_path_factory.mktemp("worth")
    for split, per_cell in (("train", 6), ("validation", 2), ("test", 7)):
        PhantomSplit(split, per_cell, 901, SIZE).write(folder / "real")  # type: ignore[arg-type]
    with ShardSetWriter(folder / "synthetic", "synthetic", classes=CLASSES) as writer:
        for draw in range(902_000_000, 902_000_006):
            for sample, png in _round(draw, split="train", size=SIZE):
                writer.add(sample.model_copy(update={"origin": "synthetic", "split": None}), png, "png")
    sets = [ShardSet.open(folder / part) for part in ("real/train", "real/validation", "real/test", "synthetic")]
    rows = [(sample.id, rings(image)) for images in sets for sample, image in images.images()]
    frame = pd.DataFrame(np.stack([v for _, v in rows]).astype(np.float32))
    frame.columns = [f"f{i}" for i in range(frame.shape[1])]
    frame.insert(0, "id", [name for name, _ in rows])
    frame.to_parquet(folder / "features.parquet", index=False)
    places = Places(
        real=folder / "real", synthetic=(folder / "synthetic",), features=folder / "features.parquet", size=SIZE
    )
    recipe = make_recipe(tuning="features", steps=80, batch=32, lr=1e-2, evaluate_every=20)
    made = new_study(places, recipe, Grid((6, 12, 24, 36), (1,), seeds=3, controls_at=1))
    conduct.execute(made, folder / "out", Options(workers=1))
    return analysis.analyse(folder / "out", n_boot=200)


@pytest.mark.slow
def test_images_of_the_same_kind_are_worth_one_real_image_each(
    found: analysis.Analysis, record_property: Callable[[str, object], None]
) -> None:
    """The truth is one for one: the interval holds it, and the estimate is nearer to it than to none or to three."""
    scores = [line.score for line in found.lines if (line.group, line.kind) == ("all", "real")]
    assert scores[-1] > scores[0] + 0.05  # there is something to learn from more images
    worth = found.exchanges["all", None, 12]
    record_property("rate", f"{worth.rate:.2f} ({worth.rate_low:.2f} to {worth.rate_high:.2f})")  # with --junitxml
    print(f"real images for a synthetic one, truth 1: {worth.rate:.2f} ({worth.rate_low:.2f} to {worth.rate_high:.2f})")
    assert worth.rate_low <= 1 <= worth.rate_high
    assert 0.4 < worth.rate < 2.5
