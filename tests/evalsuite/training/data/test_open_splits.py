"""The real images of a run come from folders, buckets or one set, and are real and disjoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dermforge.common.errors import UserError
from evalsuite.training.data.open_splits import open_splits
from shards import Sample, ShardSet, ShardSetWriter, encode_image, open_data
from shards.storage.location import create_storage
from shards.tools.select import select


def test_the_three_parts_come_from_a_bucket(bucket: str, phantom_shards: Path) -> None:
    """An address that went through `Path`, as the commands take it; or one set whose samples name their part."""
    for part in ("train", "validation", "test"):
        select(ShardSet.open(phantom_shards / part), f"{bucket}/{part}", part)
    splits = open_splits(Path(bucket))
    assert (splits.train.n, splits.validation.n, splits.test.n) == (72, 36, 72)
    assert open_data(Path(bucket) / "test").n == 72
    for part in ("train", "validation", "test"):
        for file in (phantom_shards / part).glob(f"{part}-*"):
            create_storage(f"{bucket}-whole").write(file.name, file.read_bytes())
    assert open_splits(Path(f"{bucket}-whole")).validation.n == 36


def write(folder: Path, origin: str, prefix: str) -> None:
    pixel = encode_image(np.zeros((8, 8, 3), np.uint8), "png")
    with ShardSetWriter(folder, folder.name, classes=["a", "b"]) as writer:
        for label in "ab":
            sample = {"id": f"{prefix}-{label}", "origin": origin, "class": label}
            writer.add(Sample.model_validate(sample), pixel, "png")


@pytest.mark.parametrize("wrong", ["train", "validation", "test"])
def test_synthetic_images_among_the_real_ones_are_refused(tmp_path: Path, wrong: str) -> None:
    """Early stopping and tests on synthetic images would choose the model that likes them."""
    for part in ("train", "validation", "test"):
        write(tmp_path / part, "synthetic" if part == wrong else "real", part)
    with pytest.raises(UserError, match=f"2 {wrong} images of .* are synthetic, the first {wrong}-a"):
        open_splits(tmp_path)


def test_images_in_two_parts_are_refused(tmp_path: Path) -> None:
    for part, prefix in (("train", "x"), ("validation", "y"), ("test", "x")):
        write(tmp_path / part, "real", prefix)
    with pytest.raises(UserError, match=r"2 ids are in train and in test of .*\(x-a, x-b\)"):
        open_splits(tmp_path)


@pytest.mark.parametrize("missing", ["train", "validation", "test"])
def test_a_missing_part_is_named(tmp_path: Path, missing: str) -> None:
    """As `shards make` leaves it where the data name two of the splits."""
    for part in {"train", "validation", "test"} - {missing}:
        write(tmp_path / part, "real", part)
    with pytest.raises(UserError, match=f"has no {missing} images, only"):
        open_splits(tmp_path)
