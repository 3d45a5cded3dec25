"""The pure parts of fine-tuning: views, masks, draws of a step, the objective, what is held out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from gen.builtin.model import new_scheduler
from gen.diffusion import noise
from gen.finetune import validation
from gen.finetune.base import load_base, read_base
from gen.finetune.data import views
from gen.finetune.data.batches import Batches, LatentSource
from gen.finetune.data.holdout import Holdout, read_holdout
from gen.finetune.data.latents import CachedView, Latents
from gen.finetune.objective import Objective
from gen.finetune.settings import Hyperparameters
from gen.finetune.trainer import due, shares

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)


def test_a_view_depends_on_seed_id_and_number_alone() -> None:
    one = views.view(IMAGE, 32, 1, "a", 0)
    assert one.shape == (3, 32, 32)
    assert one.abs().max() <= 1
    assert torch.equal(one, views.view(IMAGE, 32, 1, "a", 0))
    for other in ((2, "a", 0), (1, "b", 0), (1, "a", 1)):
        assert not torch.equal(one, views.view(IMAGE, 32, *other))


def test_a_view_is_cut_from_the_middle_square_and_flipped_half_of_the_time() -> None:
    ramp = np.zeros((40, 80, 3), dtype=np.uint8)
    ramp[:] = np.linspace(0, 255, 80).astype(np.uint8)[None, :, None]
    drawn = [views.view(ramp, 16, 0, "ramp", k) for k in range(200)]
    assert min(float(d.min()) for d in drawn) > -0.6  # the outer quarters (below -0.5, above 0.5) are cut off
    assert max(float(d.max()) for d in drawn) < 0.6
    flipped = np.mean([float(d[0, 8, 0]) > float(d[0, 8, -1]) for d in drawn])
    assert 0.4 < flipped < 0.6


def test_jitter_changes_colour_only_where_asked() -> None:
    assert not torch.equal(views.view(IMAGE, 32, 1, "a", 0), views.view(IMAGE, 32, 1, "a", 0, jitter=0.05))


def test_masks_are_both_kinds_and_all_sizes() -> None:
    areas = [views.mask(64, 0, "a", k).mean() for k in range(300)]
    assert min(areas) < 0.02
    assert max(areas) > 0.7
    assert 0.18 < np.mean(areas) < 0.27  # half of (1 + pi / 4) / 4


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_objective_is_that_of_the_library(prediction: str) -> None:
    """Parity with diffusers' DDPMScheduler, the forward process of its training scripts."""
    config = dict(new_scheduler().config) | {"prediction_type": prediction}
    if prediction == "epsilon":
        config["rescale_betas_zero_snr"] = False
    reference, ours = DDPMScheduler.from_config(config), Objective(config)
    clean, noise = torch.randn(2, 5, 4, 8, 8)
    t = torch.tensor([0, 1, 400, 998, 999])
    torch.testing.assert_close(ours.noised(clean, noise, t), reference.add_noise(clean, noise, t), atol=2e-5, rtol=1e-4)
    target = {"epsilon": noise, "sample": clean, "v_prediction": reference.get_velocity(clean, noise, t)}[prediction]
    torch.testing.assert_close(ours.target(clean, noise, t), target, atol=2e-5, rtol=1e-4)


def test_validation_draws_what_diffusers_draws(random_pipeline: Path) -> None:
    """A sheet shows what the tuned pipeline will draw elsewhere: from the same noise, pixel by pixel."""
    folder, spec = read_base(random_pipeline, None)
    prompts, seeds = ["An image of plaque, dark skin", "An image of ulcer, tan skin"], [3, 4]
    drawn = list(validation.draw(load_base(folder, spec), prompts, seeds, 6, 3.0))
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
    start = torch.from_numpy(np.stack([noise.normal(seed, "validation", noise.START, shape) for seed in seeds]))
    theirs = pipeline(prompts, num_inference_steps=6, guidance_scale=3.0, latents=start, output_type="np").images
    assert np.abs(np.stack(drawn).astype(float) - np.round(theirs * 255)).max() <= 2


def latents(n_views: int) -> Latents:
    def row(image: int, view: int) -> CachedView:
        return CachedView(torch.full((4, 2, 2), float(image)), torch.zeros(4, 2, 2))

    return cast(Latents, SimpleNamespace(n_views=n_views, row=row))


@settings(deadline=None)
@given(n=st.integers(1, 30), batch=st.integers(1, 8), seed=st.integers(0, 99))
def test_every_epoch_sees_every_image_once(n: int, batch: int, seed: int) -> None:
    source = LatentSource("real", latents(3), np.zeros(n, dtype=np.int64))
    for epoch in range(2):
        drawn = [source.at(s, seed) for s in range(epoch * n, (epoch + 1) * n)]
        assert sorted(image for image, _ in drawn) == list(range(n))
        assert {view for _, view in drawn} == {epoch % 3}


@pytest.mark.parametrize(("processes", "micro"), [(1, 0), (1, 2), (2, 0), (4, 1), (2, 2)])
def test_rows_of_a_step_are_the_same_however_they_are_shared_out(processes: int, micro: int) -> None:
    batches = Batches(
        [LatentSource("real", latents(2), np.arange(10))], Objective(new_scheduler().config), 3, 8, 0.3, 10
    )
    whole = batches.rows(5, range(8))
    parts = [batches.rows(5, r) for p in range(processes) for r in shares(8, processes, p, micro)]
    for name, value in vars(whole).items():
        assert torch.equal(value, torch.cat([vars(part)[name] for part in parts])), name


def test_prompts_are_dropped_as_often_as_asked() -> None:
    batches = Batches(
        [LatentSource("real", latents(1), np.zeros(10, dtype=np.int64))],
        Objective(new_scheduler().config),
        0,
        400,
        0.25,
        1,
    )
    assert 0.15 < batches.rows(0, range(400)).prompt.float().mean() < 0.35


def test_batches_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UserError, match="does not divide over 3"):
        shares(8, 3, 0, 0)
    with pytest.raises(UserError, match="--micro-batch 3"):
        shares(8, 1, 0, 3)
    with pytest.raises(UserError, match="--micro-batch 9"):
        shares(8, 1, 0, 9)


def test_due_at_multiples_and_at_the_end() -> None:
    assert [s for s in range(1, 8) if due(s, 3, 7)] == [3, 6, 7]
    assert [s for s in range(1, 8) if due(s, 0, 7)] == [7]


def test_the_paper_is_the_default() -> None:
    """Sagers et al. 2023: 584 psoriasis images give 584 steps, 406 of basal cell carcinoma give 408."""
    paper = Hyperparameters.check(method="full")
    assert (paper.learning_rate, paper.batch, paper.epochs, paper.weight_decay) == (5e-6, 4, 4, 1e-2)
    assert (paper.betas, paper.clip, paper.warmup, paper.prior, paper.ema) == ((0.9, 0.999), 1.0, 0, 0, 0.0)
    assert (paper.steps_for(584), paper.steps_for(406)) == (584, 408)


def test_views_are_no_more_than_are_asked_for() -> None:
    settings = Hyperparameters.check(method="lora", epochs=3, views=8)
    assert settings.views_for(40) == 3
    assert Hyperparameters.check(method="lora", epochs=30, views=8).views_for(40) == 8
    assert Hyperparameters.check(method="full", steps=1).views_for(100) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0.0), ("batch", 0), ("ema", 1.0), ("epochs", 0), ("mixed_precision", "fp4"), ("views", 0)],
)
def test_settings_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} is"):
        Hyperparameters.check(**{"method": "full", name: value})


ROWS = pd.DataFrame({"id": ["a", "b", "c"], "cluster": ["p1", "p2", None]})


def test_held_out_images_are_refused_by_id_cluster_and_content() -> None:
    Holdout(frozenset({"x"}), frozenset({"p9"}), frozenset({"0"})).check(ROWS, {"a": "1", "b": "2", "c": "3"})
    for held_out, said in (
        (Holdout(frozenset({"a"})), "1 training images are held out: a;"),
        (Holdout(clusters=frozenset({"p2"})), r"b \(in cluster p2\)"),
        (Holdout(digests=frozenset({"3"})), r"c \(the same file\)"),
    ):
        with pytest.raises(UserError, match=said):
            held_out.check(ROWS, {"a": "1", "b": "2", "c": "3"})


def test_a_base_that_has_seen_held_out_images_is_refused() -> None:
    with pytest.raises(UserError, match="tuned on 1 images that are held out"):
        Holdout(frozenset({"phantom-07-plaque"})).check_lineage(["phantom-[00-10]-plaque"], "the base model")


def test_held_out_lists_are_read(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\n\n b \n")
    assert read_holdout(tmp_path / "ids.txt").ids == {"a", "b"}
    (tmp_path / "ids.csv").write_text("id,cluster,image_sha256\na,p1,\nb,,ff\n")
    assert read_holdout(tmp_path / "ids.csv") == Holdout(frozenset("ab"), frozenset({"p1"}), frozenset({"ff"}))
    (tmp_path / "none.csv").write_text("name\na\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name, said in (
        ("none.csv", "no column 'id'"),
        ("empty.txt", "names no ids"),
        ("binary.txt", "is not text"),
        ("missing.txt", "no held-out list"),
    ):
        with pytest.raises(UserError, match=said):
            read_holdout(tmp_path / name)
