"""Arms per minute of the dose study on cached features, and of scikit-learn's own classifier on as many rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from bench.measure.record import Measurement, per_second
from evalsuite.study import conduct
from evalsuite.study.design import Design, Grid, new_study
from evalsuite.study.run_arms import Options
from evalsuite.training.data import datasets
from evalsuite.training.recipe import make_recipe
from shards import Sample, ShardSetWriter, encode_image
from shards.format.schema import Origin, Split

CLASSES = tuple(f"class{i}" for i in range(10))
ARM_IMAGES, TEST_IMAGES = 1000, 600
BAR = 20.0
UNIT = "arms/min"


def measure(
    folder: Path,
    arms: int,
    width: int,
    workers: int | None,
    repeats: int,
    tick: Callable[[str], object] = lambda _: None,
) -> list[Measurement]:
    """Both rates, in turns. Ours includes the files, controls and processes of a study; the peer has none of them.

    Parameters
    ----------
    folder
        An empty folder.
    arms
        About how many arms one timed run trains.
    """
    design = feature_study(folder, arms, width)
    count = len(design.arms())
    values, labels = mixture(np.arange(ARM_IMAGES + TEST_IMAGES) % len(CLASSES), width)
    seconds: dict[str, list[float]] = {"ours": [], "scikit-learn": []}
    for turn in range(repeats):
        start = time.perf_counter()
        conduct.execute(design, folder / f"study-{turn}", Options(workers))
        seconds["ours"].append(time.perf_counter() - start)
        tick("ours")
        start = time.perf_counter()
        for _ in range(count):
            fitted = LogisticRegression(max_iter=200).fit(values[:ARM_IMAGES], labels[:ARM_IMAGES])
            fitted.predict_proba(values[ARM_IMAGES:])
        seconds["scikit-learn"].append(time.perf_counter() - start)
        tick("scikit-learn")
    return [
        per_second(f"study/{who}", took, 60 * count, UNIT, arms=count, **({"bar": BAR} if who == "ours" else {}))
        for who, took in seconds.items()
    ]


def feature_study(folder: Path, arms: int, width: int) -> Design:
    """A study whose mixed arms have 100 real and 900 synthetic images, with features from a mixture of Gaussians."""
    ids: list[str] = []
    labels: list[int] = []
    for split, per_class in (("train", 20), ("validation", 20), ("test", TEST_IMAGES // len(CLASSES))):
        _write(folder / "real" / split, split, "real", per_class, ids, labels)
    _write(folder / "synthetic", "synthetic", "synthetic", 180, ids, labels)
    values, _ = mixture(np.array(labels), width)
    frame = pd.DataFrame(values, columns=[f"f{i}" for i in range(width)])
    frame.insert(0, "id", ids)
    frame.to_parquet(folder / "features.parquet", index=False)
    places = datasets.Places(
        real=folder / "real", synthetic=(folder / "synthetic",), features=folder / "features.parquet", size=16
    )
    recipe = make_recipe(tuning="features", steps=200, batch=64, lr=1e-2, evaluate_every=50)
    seeds = max(1, round(arms / 12))  # two sizes: 2 x (real, two doses, three controls)
    return new_study(places, recipe, Grid(sizes=(5, 10), ratios=(4.5, 9), seeds=seeds, controls_at=9))


def mixture(labels: NDArray[np.integer], width: int) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Features [n, width] around the centre of each class, and the labels."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(CLASSES), width)) * 0.12
    return (centres[labels] + rng.normal(size=(len(labels), width))).astype(np.float32), labels


def _write(folder: Path, name: str, origin: Origin, per_class: int, ids: list[str], labels: list[int]) -> None:
    """Tiny images in place of those whose features are cached."""
    split: Split | None = None if name == "synthetic" else name  # type: ignore[assignment]
    pixel = encode_image(np.zeros((16, 16, 3), np.uint8), "png")
    with ShardSetWriter(folder, name, classes=CLASSES, shard_size=5000) as writer:
        for label, cls in enumerate(CLASSES):
            for i in range(per_class):
                ids.append(f"{name}-{cls}-{i:04d}")
                labels.append(label)
                writer.add(Sample(id=ids[-1], origin=origin, label=cls, group=f"g{i % 3}", split=split), pixel, "png")
