"""An arm from its images to its files: the same for the same seed, with the weights of its best evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_helpers import ALONE, CPU, data, images, recipe

from evalsuite.study import train_arm
from evalsuite.study.arm import Arm
from evalsuite.study.train_arm import Execution, train
from evalsuite.training import checkpoint, loop, preprocessing


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_equal_seeds_give_equal_weights_and_the_best_ones_are_kept(tmp_path: Path) -> None:
    """Arms are comparable only if chance is the same; the checkpoint is that of the least validation loss."""
    arm = Arm(kind="real", n_real=4, recipe=recipe())
    results = [train(arm, data(), tmp_path / name, Execution(ALONE)) for name in "ab"]
    assert all(torch.equal(v, weights(tmp_path / "b")[k]) for k, v in weights(tmp_path / "a").items())
    assert results[0].best_step == min(results[0].history, key=lambda e: e["loss"])["step"]
    again, record = checkpoint.load(tmp_path / "a")
    prepare = preprocessing.evaluation_input(again, CPU)
    accuracy = loop.logits(again, prepare, data().test, CPU).argmax(1).numpy() == data().test.labels
    assert accuracy.mean() == pytest.approx(results[0].test_accuracy)
    assert record.images["train"] == sorted(record.images["train"])


def test_bf16_and_the_other_options_train(tmp_path: Path) -> None:
    """Half precision keeps float32 weights; SGD, class weights and balance in one run."""
    r = recipe(precision="bf16", optimizer="sgd", lr=0.01, class_weights=True, balanced=True, label_smoothing=0.0)
    result = train(Arm(kind="real", n_real=0, recipe=r), data(), tmp_path, Execution(ALONE))
    assert all(np.isfinite(e["loss"]) for e in result.history)
    assert {v.dtype for k, v in weights(tmp_path).items() if v.is_floating_point()} == {torch.float32}


def test_a_record_names_patients_but_not_images_that_stand_alone() -> None:
    """Another image of a training patient is no test image; a lone image is known by its id already."""
    alone = images(6)
    assert train_arm._families(alone) == []
    alone.rows["cluster"] = ["p1", "p1", *alone.rows["id"][2:4], None, "p2"]
    assert train_arm._families(alone) == ["p1", "p2"]
