"""`bench study`: arms a minute on cached features."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from evalsuite import study as studies
from evalsuite.training import datasets
from evalsuite.training.recipe import make_recipe
from shards import Sample, ShardSetWriter, encode_image
from shards.console import out, print_json
from shards.schema import Origin, Split

CLASSES = tuple(f"class{i}" for i in range(10))
TARGET = 20.0


def study(
    arms: Annotated[int, typer.Option(help="About how many arms to train.")] = 60,
    width: Annotated[int, typer.Option(help="Features per image.")] = 512,
    workers: Annotated[int | None, typer.Option(help="Processes. [default: one a core]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Arms a minute of `evalsuite study` on 1,000-image arms of cached features, starting the processes included.

    Example: bench study --arms 60
    """
    with tempfile.TemporaryDirectory() as folder:
        design = feature_study(Path(folder), arms, width)
        begun = time.monotonic()
        studies.execute(design, Path(folder) / "study", workers=workers)
        seconds = time.monotonic() - begun
    count = len(design.arms())
    rate = 60 * count / seconds
    if as_json:
        print_json({"arms": count, "seconds": seconds, "arms_per_minute": rate, "target": TARGET, "width": width,
                    "images_per_arm": 1000})
        return
    out.print(f"{count} arms of 1,000 images, {width} features: {seconds:.1f} s, {rate:.0f} arms a minute "
              f"(target {TARGET:.0f})", markup=False)


def feature_study(folder: Path, arms: int, width: int, seed: int = 0) -> studies.Design:
    """A study whose mixed arms have 100 real and 900 synthetic images of a mixture of Gaussians."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(CLASSES), width)) * 0.12
    ids: list[str] = []
    labels: list[int] = []
    for split, per_class in (("train", 20), ("validation", 20), ("test", 60)):
        _write(folder / "real" / split, split, "real", per_class, ids, labels)
    _write(folder / "synthetic", "synthetic", "synthetic", 180, ids, labels)
    values = centres[labels] + rng.normal(size=(len(ids), width))
    frame = pd.DataFrame(values.astype(np.float32), columns=[f"f{i}" for i in range(width)])
    frame.insert(0, "id", ids)
    frame.to_parquet(folder / "features.parquet", index=False)
    places = datasets.Places(
        real=folder / "real", synthetic=(folder / "synthetic",), features=folder / "features.parquet", size=16
    )
    recipe = make_recipe(tuning="features", steps=200, batch=64, lr=1e-2, evaluate_every=50)
    seeds = max(1, round(arms / 14))  # two sizes: 2 x (real, two doses, four controls)
    return studies.new_design(places, recipe, (5, 10), (4.5, 9), seeds=seeds, controls_at=9)


def _write(folder: Path, name: str, origin: Origin, per_class: int, ids: list[str], labels: list[int]) -> None:
    """Tiny images stand in for those whose features are cached."""
    split: Split | None = None if name == "synthetic" else name  # type: ignore[assignment]
    pixel = encode_image(np.zeros((16, 16, 3), np.uint8), "png")
    with ShardSetWriter(folder, name, classes=CLASSES, shard_size=5000, fsync=False) as writer:
        for label, cls in enumerate(CLASSES):
            for i in range(per_class):
                ids.append(f"{name}-{cls}-{i:04d}")
                labels.append(label)
                writer.add(Sample(id=ids[-1], origin=origin, label=cls, group=f"g{i % 3}", split=split), pixel, "png")
