"""Studies with planted predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalsuite.study import arm as arms
from evalsuite.study.design import PLAN, Design, Grid, new_study
from evalsuite.training.data.datasets import Places
from evalsuite.training.recipe import make_recipe
from shards import Provenance, Sample, ShardSet, ShardSetWriter, encode_image

SIZES, SEEDS = (2, 4), (0, 1)
BASE = "phantom-[0009000000-0009000099]-macule-tan"  # what a pretrained model saw
PLACES = Places(real=Path("real"), synthetic=(Path("synthetic"),))


def new_grid(**changes: object) -> Design:
    return new_study(
        PLACES,
        make_recipe(steps=10),
        Grid(**{"sizes": (4, 8, 16, 32), "ratios": (2, 10), "seeds": 3, **changes}),  # type: ignore[arg-type]
    )


def plant(folder: Path, made: Design, accuracy: Callable[[str, int, float, str], float], n: int = 600) -> None:
    """Write the predictions of a study whose arms have a known accuracy: accuracy(kind, n_real, ratio, group)."""
    folder.mkdir(exist_ok=True)
    (folder / PLAN).write_text(made.model_dump_json())
    labels, groups = np.arange(n) % 3, np.where(np.arange(n) // 3 % 2, "light", "dark")
    luck = np.random.default_rng(0).random(n)  # items are easy or hard for every arm: what pairing is for
    for arm in made.arms():
        own = np.random.default_rng([arm.seed, arm.n_real, int(arm.ratio), len(arm.kind)]).normal(0, 0.03, n)
        p = np.array([accuracy(arm.kind, arm.n_real, arm.ratio, g) for g in groups])
        said = np.where(luck + own < p, labels, (labels + 1) % 3)
        place = folder / "arms" / arm.name
        place.mkdir(parents=True)
        frame = pd.DataFrame({"id": [f"i{i}" for i in range(n)], "label": np.array(list("abc"))[labels]})
        for k, c in enumerate("abc"):
            frame[f"prob_{c}"] = np.where(said == k, 0.8, 0.1)
        frame["group"] = groups
        frame.to_parquet(place / arms.PREDICTIONS)
        (place / arms.RESULT).write_text(
            arms.Result(
                digest="",
                arm=arm,
                real=1,
                synthetic=1,
                seen_real=1,
                seen_synthetic=1,
                steps=10,
                best_step=10,
                seconds=1,
                images_per_second=1,
                validation_loss=1,
                validation_accuracy=0.5,
                test_accuracy=0.5,
                leakage=[],
                notes=[],
                history=[],
            ).model_dump_json()
        )


def curve(n: float) -> float:
    return float(1 - (0.1 + n**-0.5))


def only_light(kind: str, n: int, ratio: float, group: str) -> float:
    """Synthetic images stand for 0.2 real ones each, saturate at 10:1, and help light skin only."""
    helps = kind == "mix" and group == "light"
    return curve(n + 0.2 * n * min(ratio, 10) if helps else n)


def generator(folder: Path, name: str, classes: list[str], lineage: tuple[str, ...], per_class: int = 6) -> None:
    """Shards of noise as a generator with this lineage would have made them; all generators use the same ids."""
    rng = np.random.default_rng(len(lineage))
    with ShardSetWriter(folder, name, classes=classes, provenance=Provenance(lineage=lineage)) as writer:
        for label in classes:
            for number in range(per_class):
                image = encode_image(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), "png")
                writer.add(
                    Sample(
                        id=f"syn-{label}-{number}",
                        origin="synthetic",
                        label=label,
                        group="tan",
                        strategy="text-to-image",
                    ),
                    image,
                    "png",
                )


def write_noisy_copies(folder: Path, real: Path, lineage: tuple[str, ...] = (), parent: str | None = None) -> Path:
    """Noisy copies of the training phantoms as a generator's output: two for each."""
    rng = np.random.default_rng(0)
    train = ShardSet.open(real / "train")
    kept: dict[str, Any] = {"classes": train.classes, "shard_size": 500, "provenance": Provenance(lineage=lineage)}
    with ShardSetWriter(folder, "synthetic", **kept) as writer:
        for number in range(2):
            for sample, image in train.images():
                noisy = (image + rng.normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8)
                writer.add(
                    Sample(
                        id=f"syn-{number}-{sample.id}",
                        origin="synthetic",
                        label=sample.label,
                        group=sample.group,
                        strategy="text-to-image",
                        parent=parent,
                        prompt="<b>an image</b>",
                    ),
                    encode_image(noisy, "png"),
                    "png",
                )
    return folder
