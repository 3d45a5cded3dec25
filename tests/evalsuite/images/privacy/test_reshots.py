"""Lesions on two sides of a split are named, and a clean split is clean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_helpers import phantoms
from PIL import Image

from dermforge.common.errors import UserError
from evalsuite.images.image_data import array_images
from evalsuite.images.privacy.planted_copies import KINDS
from evalsuite.images.privacy.reshots import find_leaks, leak_counts, open_splits


def test_planted_leaks_are_named_and_nothing_else(tmp_path: Path) -> None:
    """A noised and a mirrored photograph of train lie in validation, a cropped one of validation in test."""
    rng = np.random.default_rng(0)
    train, validation, test = phantoms(60, 0), phantoms(20, 10_000), phantoms(20, 20_000)
    validation += [KINDS["noised"](train[7], rng), KINDS["mirrored"](train[20], rng)]
    test += [KINDS["cropped to 80 to 95 %"](validation[4], rng)]
    sets = {"train": train, "validation": validation, "test": test}
    splits = {name: array_images(np.stack(images), name=name) for name, images in sets.items()}
    pairs = find_leaks(splits, tmp_path)
    named = set(zip(pairs["id"], pairs["other"], strict=True))
    assert named == {("validation-20", "train-7"), ("validation-21", "train-20"), ("test-20", "validation-4")}
    assert leak_counts(pairs, splits)["leaked"].tolist() == [2, 0, 1]


def test_splits_are_folders_or_refused(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("val", 10)):
        (tmp_path / "data" / split / "a").mkdir(parents=True)
        for i, image in enumerate(phantoms(2, start)):
            Image.fromarray(image).save(tmp_path / "data" / split / "a" / f"{i}.png")
    assert {name: len(data.rows) for name, data in open_splits(tmp_path / "data").items()} == {
        "train": 2,
        "validation": 2,
    }
    with pytest.raises(UserError, match="expected two of train, validation, test"):
        open_splits(tmp_path / "data" / "train")
