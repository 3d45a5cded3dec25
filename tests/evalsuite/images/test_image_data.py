"""Arrays and folders become sets of images, and families are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_helpers import features, write_shards

from dermforge.common.errors import UserError
from evalsuite.images.image_data import array_images, describe, families, in_batches, open_images


def test_a_child_is_of_its_parents_patient() -> None:
    """`shards make` names patients by cluster: by the parent's id alone a child would cross the folds."""
    real = features(6).frame.assign(cluster=pd.Series(["p1", "p1", "p2", None, None, None]))
    made = features(4, seed=1).frame.assign(parent=pd.Series(["0-1", "0-3", "elsewhere", None]))
    assert families(real).tolist() == ["p1", "p1", "p2", "0-3", "0-4", "0-5"]
    assert families(made, real).tolist() == ["p1", "0-3", "elsewhere", "1-3"]


@pytest.mark.parametrize(
    "bad", [np.zeros((30, 64, 64, 3)), np.zeros((30, 64, 64), np.uint8), np.zeros((0, 64, 64, 3), np.uint8)]
)
def test_arrays_that_are_no_images_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"the test images are .*expected uint8 \[n, h, w, 3\]"):
        open_images(bad, name="test")


def test_an_array_is_a_set_with_classes_and_skin_types() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    data = array_images(images, name="x", classes=["a", "b", "a"], groups=["light", None, "dark"])
    frame = describe(data.take(np.array([2, 1])))
    assert frame[["id", "class", "group"]].to_numpy().tolist() == [["x-2", "a", "dark"], ["x-1", "b", None]]
    assert frame["image_sha256"].nunique() == 2
    assert describe(array_images(images))["group"].isna().all()


def test_a_split_is_a_subfolder_or_what_the_samples_say(tmp_path: Path) -> None:
    write_shards(tmp_path / "nested" / "test", 0, 1, "real")
    write_shards(tmp_path / "whole", 0, 1, "real", "test")
    assert len(open_images(tmp_path / "nested", split="test").rows) == 36
    assert len(open_images(str(tmp_path / "whole"), split="test").rows) == 36
    with pytest.raises(UserError, match="holds no images of the split train"):
        open_images(tmp_path / "whole", split="train")


def test_batches_hold_every_item_once() -> None:
    assert list(in_batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_batches([], 3)) == []
