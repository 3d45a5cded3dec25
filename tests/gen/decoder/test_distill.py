"""A small decoder is trained by the loop of fine-tuning: it resumes, says what it saw, and AutoencoderTiny opens it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file
from study_helpers import generator

from dermforge.common.errors import UserError
from engines.adapters import with_decoder
from engines.pipeline_spec import read_spec
from gen.decoder.distill import DecoderResult, distill_decoder
from gen.decoder.settings import DecoderSettings
from gen.decoder.student import LatentBatch, distance
from gen.finetune.data.holdout import Holdout
from gen.finetune.settings import Execution
from gen.finetune.task import Task
from gen.finetune.trainer import Training
from gen.finetune.tune import new_accelerator
from shards.ingest.folder import open_data

pytestmark = pytest.mark.usefixtures("fresh_accelerator")
SETTINGS = DecoderSettings(steps=4, warmup=1, batch=2, views=1, width=8, blocks=1)
Run = Callable[..., DecoderResult]


@pytest.fixture
def run(random_pipeline: Path, images: Path, tmp_path: Path) -> Run:
    def call(out: str, holdout: Holdout = Holdout(), keep_work: bool = False, **settings: object) -> DecoderResult:
        task = Task(random_pipeline, open_data(images), tmp_path / out, holdout)
        given, how = SETTINGS.model_copy(update=settings), Execution(keep_work=keep_work)
        return distill_decoder(task, given, how, new_accelerator(given, how))

    return call


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "diffusion_pytorch_model.safetensors")


def test_a_run_writes_what_diffusers_opens_and_a_build_takes(run: Run, tmp_path: Path, random_pipeline: Path) -> None:
    result = run("small")
    assert (result.images, result.left_out, result.steps, result.width, result.already) == (8, 1, 4, 8, False)
    tiny = AutoencoderTiny.from_pretrained(tmp_path / "small")
    assert tiny.decode(torch.randn(1, 4, 16, 16)).sample.shape == (1, 3, 64, 64)
    assert not tiny.encode(torch.randn(1, 3, 64, 64)).latents.any()  # nothing that could be taken for an encoder
    facts = json.loads((tmp_path / "small" / "dermforge.json").read_text())
    assert facts["lineage"] == [f"p{i}" for i in range(8)]
    assert len(facts["lineage_sha256"]["p0"]) == 64
    assert "all zeros" in (tmp_path / "small" / "README.md").read_text()
    assert (tmp_path / "small" / "training" / "log.csv").is_file()
    assert not (tmp_path / "small.work").exists()
    assert str(tmp_path) not in (tmp_path / "small" / "config.json").read_text()
    with with_decoder(random_pipeline, tmp_path / "small") as folder:
        assert read_spec(folder).lineage == facts["lineage"]
    assert run("small").already


def test_a_run_at_a_constant_rate_in_two_parts_ends_in_the_same_bits(run: Run, tmp_path: Path) -> None:
    run("whole", schedule="constant")
    run("parts", schedule="constant", steps=2, keep_work=True)
    run("parts", schedule="constant", steps=4)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_run_whose_rate_falls_is_not_made_longer(run: Run) -> None:
    run("small", keep_work=True)
    for steps in (2, 8):
        with pytest.raises(UserError, match=rf"is of another run: steps \(4 then, {steps} now\)"):
            run("small", steps=steps)


def test_a_stopped_run_resumes_to_the_same_bits(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the rate falls; each step's is that of the whole run."""
    settings, how = SETTINGS.model_copy(update={"warmup": 2, "steps": 7}), Execution(checkpoint_every=2)
    done: list[str] = []

    def call(out: str) -> DecoderResult:
        task = Task(random_pipeline, open_data(images), tmp_path / out)
        return distill_decoder(task, settings, how, new_accelerator(settings, how), say=done.append)

    def step(self: Training[LatentBatch], *given: Any) -> tuple[float, float]:
        if given[-1] == 5:
            raise KeyboardInterrupt
        return own(self, *given)

    call("whole")
    own = Training._step
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", step)
        with pytest.raises(KeyboardInterrupt):
            call("stopped")
    call("stopped")
    assert "resumes after step 4 of 7" in done[-1]
    for name in ("diffusion_pytorch_model.safetensors", "dermforge.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    log = pd.read_csv(tmp_path / "stopped" / "training" / "log.csv")
    assert log["learning_rate"].tolist() == pytest.approx([settings.rate(i, 7) for i in range(7)], rel=1e-5)
    assert log["learning_rate"].iloc[-1] < 0.2 * settings.learning_rate


def test_held_out_images_are_refused(run: Run) -> None:
    with pytest.raises(UserError, match="1 training images are held out: p3"):
        run("held", holdout=Holdout(frozenset({"p3"})))


def test_images_that_a_held_out_image_went_into_are_refused_and_are_no_real_images(
    random_pipeline: Path, tmp_path: Path
) -> None:
    """As in fine-tuning; who is behind synthetic images is named, and their digests are no real image's."""
    generator(tmp_path / "drawn", "s", ["plaque"], ("behind",))

    def call(holdout: Holdout) -> DecoderResult:
        task, how = Task(random_pipeline, open_data(tmp_path / "drawn"), tmp_path / "small", holdout), Execution()
        return distill_decoder(task, SETTINGS, how, new_accelerator(SETTINGS, how))

    with pytest.raises(UserError, match=r"drew images of .* was tuned on 1 images that are held out"):
        call(Holdout(frozenset({"behind"})))
    call(Holdout())
    facts = json.loads((tmp_path / "small" / "dermforge.json").read_text())
    assert (facts["lineage"], facts["lineage_sha256"]) == (["behind"], {})


def test_the_loss_is_zero_for_the_teacher_and_weighs_colour_most() -> None:
    def teacher(latents: torch.Tensor) -> torch.Tensor:
        return latents

    flat = torch.zeros(1, 3, 16, 16)
    grain = torch.ones(1, 3, 16, 16)
    grain[..., ::2] = -1
    loss = distance(teacher)
    assert float(loss(torch.nn.Identity(), LatentBatch(grain))) == 0
    shifted = float(loss(lambda x: x + 0.1, LatentBatch(flat)))  # type: ignore[arg-type]
    grainy = float(loss(lambda x: x + 0.1 * grain, LatentBatch(flat)))  # type: ignore[arg-type]
    assert shifted == pytest.approx(4 * 0.1)
    assert grainy == pytest.approx(0.1)


def test_a_number_out_of_range_is_named() -> None:
    with pytest.raises(UserError, match="`width` is 2"):
        DecoderSettings.check(width=2)
