"""Heads on features of a frozen body: they learn, and fold into the model they came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import save_file
from training_helpers import ALONE, CPU, data, recipe

from evalsuite.study.arm import Arm
from evalsuite.study.arm_images import training_set
from evalsuite.study.train_arm import Execution, train
from evalsuite.training import checkpoint, frozen_features, loop, model, preprocessing


def test_a_head_on_features_folds_into_the_model_it_came_from(tmp_path: Path) -> None:
    """`features` must leave a checkpoint that predicts the same from images."""
    body = model.build(recipe(), 3)
    save_file({k: v.contiguous() for k, v in body.state_dict().items()}, tmp_path / "body.safetensors")
    arm = Arm(kind="real", n_real=0, recipe=recipe(tuning="features", weights=str(tmp_path / "body.safetensors")))
    result = train(arm, data(), tmp_path / "out", Execution(ALONE))
    again, _ = checkpoint.load(tmp_path / "out")
    prepare = preprocessing.evaluation_input(again, CPU)
    scores = loop.logits(again, prepare, data().test, CPU).softmax(1).numpy()
    written = pd.read_parquet(tmp_path / "out" / "predictions.parquet").filter(like="prob_").to_numpy()
    assert np.abs(scores - written).max() < 1e-4
    assert result.steps == 4


def test_arms_on_cached_features_learn() -> None:
    """The fast path is the same loop: a linear head on separable features must separate them."""
    made = data(width=16)
    arm = Arm(kind="mix", n_real=4, recipe=recipe(ratio=2, tuning="features", steps=60, batch=12, lr=0.05))
    real, both = training_set(arm, made)
    assert (real.n, len(both.ids)) == (12, 36)
    classifier = loop.Classifier(arm.recipe, frozen_features.new_head(both), preprocessing.OF_FEATURES, ALONE)
    progress = loop.fit(classifier, both, made.validation)
    assert max(e.accuracy for e in progress.history) > 0.8
