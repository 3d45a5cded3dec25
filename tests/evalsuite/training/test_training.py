"""Training: exact mixing and resume, real validation only, nothing that differs between arms but their images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_helpers import data, pool, recipe
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.study import arm as arms
from evalsuite.study import run_arms
from evalsuite.study.arm import Arm, image_stage, train, training_pool
from evalsuite.training import augment, checkpoint, frozen_features, loop, model, resume
from evalsuite.training.data import stream
from evalsuite.training.data.datasets import Places, open_data
from evalsuite.training.data.pool import Pool, join
from evalsuite.training.distributed import World
from evalsuite.training.recipe import make_recipe
from evalsuite.training.split_bn import SplitBatchNorm2d, mark_synthetic, merged_state, split_batch_norms

ALONE = World(0, 1, torch.device("cpu"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_run_goes_on_exactly_where_it_was_stopped(tmp_path: Path) -> None:
    """The weights after 2 + 2 steps equal those after 4, with augmentation, moving average and momentum."""
    arm = Arm(kind="mix", n_real=0, recipe=recipe(ratio=2, ema=0.9, augment="light"))
    train(arm, data(), tmp_path / "whole", ALONE)

    class Stop(Exception):
        pass

    def stop(evaluation: resume.Evaluation) -> None:
        if evaluation.step == 4 and not (tmp_path / "went-on").exists():
            raise Stop

    with pytest.raises(Stop):
        train(arm, data(), tmp_path / "halves", ALONE, log=stop)
    assert (tmp_path / "halves" / "resume.safetensors").is_file()
    (tmp_path / "went-on").touch()
    train(arm, data(), tmp_path / "halves", ALONE, log=stop)
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not (tmp_path / "halves" / "resume.safetensors").exists()


def test_going_on_with_another_recipe_is_refused(tmp_path: Path) -> None:
    """Half a run of one learning rate and half of another is neither."""
    r, images = recipe(), pool()
    network = model.build(r, 3)
    state = {"model": network}, loop.make_optimiser(r, network)
    resume.save(resume.checkpoint(tmp_path, r, images.ids, *state), resume.Progress())
    with pytest.raises(UserError, match=r"is of another run: lr \(.* then, 0.1 now\)"):
        resume.load(resume.checkpoint(tmp_path, recipe(lr=0.1), images.ids, *state))
    with pytest.raises(UserError, match="is of another run: images"):
        resume.load(resume.checkpoint(tmp_path, r, images.ids[1:], *state))


def test_equal_seeds_give_equal_weights_and_the_best_ones_are_kept(tmp_path: Path) -> None:
    """Arms are comparable only if chance is the same; the checkpoint is that of the least validation loss."""
    arm = Arm(kind="real", n_real=4, recipe=recipe())
    results = [train(arm, data(), tmp_path / name, ALONE) for name in "ab"]
    assert all(torch.equal(v, weights(tmp_path / "b")[k]) for k, v in weights(tmp_path / "a").items())
    assert results[0].best_step == min(results[0].history, key=lambda e: e["loss"])["step"]
    again, record = checkpoint.load(tmp_path / "a")
    stage = image_stage(again, arm.recipe, ALONE)
    accuracy = loop.logits(again, stage.evaluate, data().test, ALONE.device).argmax(1).numpy() == data().test.labels
    assert accuracy.mean() == pytest.approx(results[0].test_accuracy)
    assert record.images["train"] == sorted(record.images["train"])


def test_synthetic_validation_images_are_refused() -> None:
    """Early stopping on synthetic images would choose the model that likes them."""
    r = recipe()
    network = model.build(r, 3)
    with pytest.raises(UserError, match="validation images are synthetic"):
        loop.fit(r, network, image_stage(network, r, ALONE), pool(), pool(6, synthetic=True, name="s"), ALONE)


def test_early_stopping_stops() -> None:
    """Patience counts evaluations without improvement: a learning rate that wrecks the model ends the run early."""
    r = recipe(patience=1, steps=40, evaluate_every=1, optimizer="sgd", lr=1e3, warmup=0.0)
    network = model.build(r, 3)
    made = loop.fit(r, network, image_stage(network, r, ALONE), pool(), pool(12, seed=2), ALONE)
    assert made.step < 40


def test_head_only_changes_the_classifier_and_the_batch_norms() -> None:
    """As the paper trains: the body's convolutions stay as they were."""
    r = recipe(tuning="head")
    network = model.build(r, 3)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    loop.fit(r, network, image_stage(network, r, ALONE), pool(), pool(12, seed=2), ALONE)
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert any(k.startswith("classifier") for k in changed)
    assert all("bn" in k or k.startswith("classifier") for k in changed)


def test_a_head_on_features_folds_into_the_model_it_came_from(tmp_path: Path) -> None:
    """`features` must leave a checkpoint that predicts the same from images."""
    body = model.build(recipe(), 3)
    save_file({k: v.contiguous() for k, v in body.state_dict().items()}, tmp_path / "body.safetensors")
    arm = Arm(kind="real", n_real=0, recipe=recipe(tuning="features", weights=str(tmp_path / "body.safetensors")))
    result = train(arm, data(), tmp_path / "out", ALONE)
    again, _ = checkpoint.load(tmp_path / "out")
    stage = image_stage(again, recipe(), ALONE)
    scores = loop.logits(again, stage.evaluate, data().test, ALONE.device).softmax(1).numpy()
    written = pd.read_parquet(tmp_path / "out" / "predictions.parquet").filter(like="prob_").to_numpy()
    assert np.abs(scores - written).max() < 1e-4
    assert result.steps == 4


def test_arms_on_cached_features_learn() -> None:
    """The fast path is the same loop: a linear head on separable features must separate them."""
    made = data(width=16)
    arm = Arm(kind="mix", n_real=4, recipe=recipe(ratio=2, tuning="features", steps=60, batch=12, lr=0.05))
    real, both = training_pool(arm, made)
    assert (real.n, both.n) == (12, 36)
    head = frozen_features.new_head(both)
    as_is = loop.Stage(lambda x: x, lambda x: x)
    progress = loop.fit(arm.recipe, head, as_is, both, made.validation, ALONE)
    assert max(e.accuracy for e in progress.history) > 0.8


def test_a_head_on_a_table_takes_one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Threads of a tiny head wait for one another; an arm of images, or one that extracts features, takes all cores."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    images, table = Places(real=tmp_path), Places(real=tmp_path, features=tmp_path / "features.parquet")
    head, whole = (Arm(kind="real", n_real=4, recipe=recipe(tuning=t)) for t in ("features", "full"))  # type: ignore[arg-type]
    assert run_arms._threads(head, table, 1) == 1
    assert [run_arms._threads(arm, images, count) for arm in (head, whole) for count in (1, 4, 16)] == [8, 2, 1] * 2


def test_controls_get_the_images_and_steps_they_stand_for() -> None:
    """A control that trains longer or on fewer images than it says controls nothing."""
    made = data()
    base = recipe(ratio=2, steps=30)
    arms = {
        k: Arm(kind=k, n_real=4, recipe=base)
        for k in ("real", "mix", "real-short", "real-repeated", "randaugment", "synthetic-only")
    }  # type: ignore[arg-type]
    sizes = {k: training_pool(a, made)[1].n for k, a in arms.items()}
    assert sizes == {
        "real": 12,
        "mix": 36,
        "real-short": 12,
        "real-repeated": 36,
        "randaugment": 12,
        "synthetic-only": 24,
    }
    assert arms["real-short"].trained_as().steps == 10
    assert arms["randaugment"].trained_as().augment == "randaugment"
    assert {a.trained_as().steps for k, a in arms.items() if k != "real-short"} == {30}
    with pytest.raises(UserError, match="80 synthetic"):
        training_pool(Arm(kind="mix", n_real=4, recipe=recipe(ratio=20)), made)


def test_split_batch_norm_keeps_real_statistics_to_real_images() -> None:
    """Evaluation must use what real images taught, whatever the share of synthetic ones."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    plain.load_state_dict(net.state_dict())
    assert split_batch_norms(net) == 1
    x = torch.randn(10, 3, 8, 8)
    x[7:] += 50
    synthetic = torch.arange(10) >= 7
    mark_synthetic(net, synthetic)
    out = net.train()(x)
    assert torch.allclose(out[:7], plain.train()(x[:7]), atol=1e-5)
    plain.load_state_dict(merged_state(net.state_dict()))
    assert torch.allclose(plain.eval()(x), net.eval()(x))
    assert isinstance(net[1], SplitBatchNorm2d)


def test_split_batch_norm_over_processes_needs_both_kinds_everywhere() -> None:
    """A process whose share holds no real image would leave the others waiting for ever."""
    both = join([pool(24), pool(90, synthetic=True, name="s")])
    split = recipe(ratio=10, batch=8, split_bn=True)
    plan = stream.schedule(split, both)
    assert plan.fewest() == 0
    with pytest.raises(UserError, match=r"--split-bn over 2 processes.*as few as 0"):
        loop._require_both_kinds(split, plan, World(0, 2, torch.device("cpu")))
    loop._require_both_kinds(split, plan, ALONE)
    even = recipe(ratio=1, batch=8, split_bn=True)
    loop._require_both_kinds(even, stream.schedule(even, both), World(0, 2, torch.device("cpu")))


def test_bf16_and_the_other_options_train(tmp_path: Path) -> None:
    """Half precision keeps float32 weights; SGD, class weights and balance in one run."""
    r = recipe(precision="bf16", optimizer="sgd", lr=0.01, class_weights=True, balanced=True, label_smoothing=0.0)
    result = train(Arm(kind="real", n_real=0, recipe=r), data(), tmp_path, ALONE)
    assert all(np.isfinite(e["loss"]) for e in result.history)
    assert {v.dtype for k, v in weights(tmp_path).items() if v.is_floating_point()} == {torch.float32}


def test_a_tensorboard_log_of_a_run_reads_back(phantom_shards: Path, tmp_path: Path) -> None:
    """What TensorBoard's own reader finds is what the checkpoint records."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = [
        "train",
        "--real",
        str(phantom_shards),
        "--out",
        str(tmp_path / "out"),
        "--size",
        "32",
        "--steps",
        "4",
        "--batch",
        "6",
        "--evaluate-every",
        "2",
        "--tensorboard",
    ]
    done = CliRunner().invoke(PROGRAM.app(), words)
    assert done.exit_code == 0, done.output
    log = reader.EventAccumulator(str(tmp_path / "out" / "tensorboard")).Reload()
    history = checkpoint.read_record(tmp_path / "out").history
    assert [e["step"] for e in history] == [2, 4]
    for name in ("loss", "accuracy", "train_loss"):
        assert [(e.step, e.value) for e in log.Scalars(name)] == [
            (e["step"], pytest.approx(e[name], rel=1e-6)) for e in history
        ]


def test_a_log_without_tensorboard_is_refused_before_training(
    phantom_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of hours must not end in a missing package."""
    for name in [n for n in sys.modules if n.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    words = ["train", "--real", str(phantom_shards), "--out", str(tmp_path / "out"), "--size", "32", "--tensorboard"]
    done = CliRunner().invoke(PROGRAM.app(), words)
    assert isinstance(done.exception, UserError)
    assert "pip install 'dermforge[track]'" in str(done.exception)
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_record_names_patients_but_not_images_that_stand_alone() -> None:
    """Another image of a training patient is no test image; a lone image is known by its id already."""
    alone = pool(6)
    assert arms._families(alone) == []
    assert arms._families(Pool(**{**vars(alone), "clusters": np.array(["p1", "p1", *alone.ids[2:5], "p2"])})) == [
        "p1",
        "p2",
    ]


def test_augmentation_keeps_shape_range_and_seed() -> None:
    """A step is a function of its number: the same seed must give the same pixels."""
    images = pool(10).x[torch.arange(10)]
    for kind in ("none", "light", "randaugment"):
        torch.manual_seed(3)
        first = augment.augment(images, kind)  # type: ignore[arg-type]
        torch.manual_seed(3)
        assert torch.equal(first, augment.augment(images, kind))  # type: ignore[arg-type]
        assert first.shape == images.shape
        assert first.dtype == torch.float32
        assert 0 <= first.min() <= first.max() <= 1
    assert not torch.equal(first, images.float() / 255)


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"ratio": -1}, "--ratio -1"), ({"steps": 0}, "--steps 0"), ({"optimizer": "lion"}, "--optimizer 'lion'")],
)
def test_options_out_of_range_are_named(fields: dict[str, object], text: str) -> None:
    """One line that names the option as it is typed."""
    with pytest.raises(UserError, match=text):
        make_recipe(**fields)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--ratio", "5"], "--mode mix at ratio 5 needs --synthetic"),
        (["--mode", "pretrain-then-tune"], "--mode pretrain-then-tune at ratio 0 needs --synthetic"),
        (["--strategy", "inpaint"], "with --strategy inpaint needs --synthetic"),
        (["--mode", "synthetic-only", "--ratio", "0", "--synthetic", "shards"], "draws no synthetic image"),
    ],
)
def test_synthetic_images_that_are_asked_for_must_be_given(tmp_path: Path, words: list[str], text: str) -> None:
    """Else the run would be one on real images only, under another name."""
    done = CliRunner().invoke(PROGRAM.app(), ["train", "--real", str(tmp_path), "--out", str(tmp_path / "out"), *words])
    assert isinstance(done.exception, UserError)
    assert text in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_weights_and_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Pickles run code; weights of another model would be half loaded."""
    with pytest.raises(UserError, match="timm has no model"):
        model.build(recipe(model="resnet_of_nobody"), 3)
    with pytest.raises(UserError, match=r"expected a .safetensors file"):
        model.build(recipe(weights=str(tmp_path / "w.pth")), 3)
    save_file({"x": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="do not fit the model"):
        model.build(recipe(weights=str(tmp_path / "w.safetensors")), 3)
    with pytest.raises(UserError, match="has no batch norm"):
        model.build(recipe(model="test_convnext", split_bn=True), 3)


def test_results_are_kept_and_made_anew_when_settings_change(phantom_shards: Path, tmp_path: Path) -> None:
    """Running again trains nothing; another recipe does not read old results."""
    places = Places(real=phantom_shards, size=32)
    arm = Arm(kind="real", n_real=2, recipe=recipe())
    run_arms.run([arm], places, tmp_path, workers=1)
    written = tmp_path / "arms" / arm.name / "result.json"
    before = written.stat().st_mtime_ns
    assert run_arms.run([arm], places, tmp_path, workers=1)[0].arm == arm
    assert written.stat().st_mtime_ns == before
    other = arm.model_copy(update={"recipe": recipe(lr=1e-4)})
    assert run_arms.run([other], places, tmp_path, workers=1)[0].arm == other
    assert written.stat().st_mtime_ns != before
    assert open_data(places).train.n == 72


@pytest.mark.slow
def test_two_processes_train_as_one_does(phantom_shards: Path, tmp_path: Path) -> None:
    """torchrun with gloo: the same global batches, the same weights up to the order of sums."""
    command = [
        "-m",
        "evalsuite.cli",
        "train",
        "--real",
        str(phantom_shards),
        "--model",
        "test_convnext",
        "--size",
        "32",
        "--steps",
        "4",
        "--batch",
        "8",
        "--augment",
        "none",
        "--evaluate-every",
        "2",
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command, "--out", str(tmp_path / "one")], check=True, env=env)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    subprocess.run([*torchrun, *command, "--out", str(tmp_path / "two")], check=True, env=env)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-3
