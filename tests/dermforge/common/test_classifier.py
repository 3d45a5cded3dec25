"""A checkpoint of the suite, read without the suite."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from dermforge.common.classifier import RECORD, WEIGHTS, open_classifier
from dermforge.common.errors import UserError
from evalsuite.training import checkpoint
from evalsuite.training.model import normaliser
from evalsuite.training.recipe import make_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `evalsuite train` writes, of a model that has learnt nothing."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    record = checkpoint.Record(
        recipe=make_recipe(model="test_resnet", size=32),
        classes=["a", "b", "c"],
        images={},
        synthetic=0,
        lineage=[],
        best_step=1,
        steps=1,
        seconds=0,
        seen_real=0,
        seen_synthetic=0,
        history=[],
    )
    checkpoint.save(folder, timm.create_model("test_resnet", num_classes=3), record)
    return folder


def test_each_image_gets_the_class_that_the_suite_gives_it(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    network, _ = checkpoint.load(folder)
    mean, std = normaliser(network)
    with torch.no_grad():
        expected = network((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std).argmax(1)
    assert open_classifier(folder)(images).tolist() == expected.tolist()


def test_images_of_another_size_are_resized(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    assert set(open_classifier(folder)(images).tolist()) <= {0, 1, 2}


def test_a_folder_that_is_no_checkpoint_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a classifier .*evalsuite train"):
        open_classifier(tmp_path)
    record = json.loads((folder / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps(record | {"classes": ["a", "b", "c", "d"]}))
    (tmp_path / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes())
    with pytest.raises(UserError, match="is not a classifier"):
        open_classifier(tmp_path)
