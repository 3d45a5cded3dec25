"""An interrupted run is resumed to the same weights, and only by the run that it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_helpers import ALONE, classifier, data, images, recipe

from dermforge.common.errors import UserError
from evalsuite.study.arm import Arm
from evalsuite.study.train_arm import Execution, train
from evalsuite.training import loop, resume


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_resumed_run_is_the_same_run(tmp_path: Path) -> None:
    """The weights after 2 + 2 steps equal those after 4, with augmentation, moving average and momentum."""
    arm = Arm(kind="mix", n_real=0, recipe=recipe(ratio=2, ema=0.9, augment="light"))
    train(arm, data(), tmp_path / "whole", Execution(ALONE))

    class Stop(Exception):
        pass

    def stop(evaluation: resume.Evaluation) -> None:
        if evaluation.step == 4 and not (tmp_path / "resumed").exists():
            raise Stop

    with pytest.raises(Stop):
        train(arm, data(), tmp_path / "halves", Execution(ALONE, log=stop))
    assert (tmp_path / "halves" / "resume.safetensors").is_file()
    (tmp_path / "resumed").touch()
    train(arm, data(), tmp_path / "halves", Execution(ALONE, log=stop))
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not (tmp_path / "halves" / "resume.safetensors").exists()


def test_resuming_with_another_recipe_is_refused(tmp_path: Path) -> None:
    """Half a run of one learning rate and half of another is neither."""
    r, ids = recipe(), images().rows["id"].tolist()
    network = classifier(r).model
    state = {"model": network}, loop.make_optimiser(r, network)
    resume.save(resume.checkpoint(tmp_path, r, ids, *state), resume.Progress())
    with pytest.raises(UserError, match=r"is of another run: lr \(.* then, 0.1 now\)"):
        resume.load(resume.checkpoint(tmp_path, recipe(lr=0.1), ids, *state))
    with pytest.raises(UserError, match="is of another run: images"):
        resume.load(resume.checkpoint(tmp_path, r, ids[1:], *state))
