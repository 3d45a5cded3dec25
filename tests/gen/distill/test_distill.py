"""A run on an untrained pipeline: what changes, what is written, who may use it, resuming after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionPipeline
from distill_helpers import run
from finetune_helpers import same, unet, words
from pipelines_helpers import new_pipeline

import engines
from engines.certificate import read_certificate
from engines.pipeline_spec import read_spec
from gen.sampling.own_steps import own_steps

pytestmark = pytest.mark.usefixtures("fresh_accelerator")
#: Runs the command with as many threads as the tests, so that sums are in the same order.
PROGRAM = """
import sys, torch
from gen.commands.distill import distill
from dermforge.common import console

torch.set_num_threads(int(sys.argv.pop(1)))
app = console.new_app("gen")
app.command()(distill)
console.run(app)
"""
QUICK = {"steps": 2, "batch": 2, "learning_rate": 1e-3, "views": 1}
EMBEDDED, LORA = {"guidance": "2:8"}, {"method": "lora", "rank": 2}


@pytest.mark.parametrize("options", [{}, EMBEDDED, LORA], ids=["fixed", "embedded", "lora"])
def test_a_student_is_drawn_by_diffusers_and_by_an_engine_alike(
    options: dict[str, object], random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "student"
    given = {"model": random_pipeline, "data": images, "out": out, **QUICK, **options, "validate_every": 2}
    assert run(monkeypatch, **given) == 0
    assert not same(unet(random_pipeline), unet(out))
    assert (out / "training" / "step-000002.png").is_file()
    spec = read_spec(out)
    assert spec.lineage == [f"p{i}" for i in range(8)]
    assert spec.guidance == ("embedded" if options is EMBEDDED else "none")
    assert spec.few_steps is not None
    assert (spec.few_steps.solver, spec.few_steps.steps) == ("lcm", 4)
    assert isinstance(StableDiffusionPipeline.from_pretrained(out).scheduler, LCMScheduler)
    bundle = engines.build(out, tmp_path / "bundle", backend="torch", rows=4, solve=own_steps)
    certificate = read_certificate(bundle)
    assert (certificate.scheduler, certificate.steps, certificate.own_steps) == ("LCMScheduler", 4, True)
    assert certificate.images.psnr_worst >= 50


def test_a_student_knows_what_its_teacher_was_tuned_on(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a second student of a student is refused, as is training on what is held out."""
    teacher, facts = tmp_path / "teacher", {"lineage": ["x1"], "lineage_sha256": {"x1": "a"}, "classes": ["nevus"]}
    new_pipeline(0).save_pretrained(teacher)
    (teacher / "dermforge.json").write_text(json.dumps(facts | {"prompt_template": "A {class}"}))
    given = {"model": teacher, "data": images, "out": tmp_path / "student", **QUICK}
    assert run(monkeypatch, **given) == 0
    spec, known = read_spec(tmp_path / "student"), json.loads((tmp_path / "student" / "dermforge.json").read_text())
    assert spec.lineage == ["x1", *(f"p{i}" for i in range(8))]
    assert (spec.classes, spec.prompt_template) == (["nevus"], "A {class}")
    assert len(known["lineage_sha256"]) == 9
    assert known["distill"]["identity"]["guidance"] == [3.0, 3.0]
    assert run(monkeypatch, **given | {"model": tmp_path / "student", "out": tmp_path / "second"}) == 2
    (tmp_path / "held.txt").write_text("p1\n")
    assert run(monkeypatch, **given, holdout=tmp_path / "held.txt", fresh=True) == 2


def test_an_inpainting_pipeline_is_distilled_by_the_same_code(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_pipeline(0, inpaint=True).save_pretrained(tmp_path / "teacher")
    out = tmp_path / "student"
    assert run(monkeypatch, model=tmp_path / "teacher", data=images, out=out, **QUICK) == 0
    bundle = engines.build(out, tmp_path / "bundle", backend="torch", rows=4, solve=own_steps)
    assert read_certificate(bundle).images.psnr_worst >= 50


@pytest.mark.parametrize("options", [EMBEDDED, LORA], ids=["full", "lora"])
def test_a_killed_run_resumes_to_the_same_bits(
    options: dict[str, object], random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL between two checkpoints: the target's weights are part of what must come back."""
    given = {"model": random_pipeline, "data": images, "template": "An image of {class}", **QUICK, **options}
    given |= {"steps": 8, "checkpoint_every": 2, "ema": 0.5}
    assert run(monkeypatch, **given, out=tmp_path / "whole") == 0
    command = [sys.executable, "-c", PROGRAM, str(torch.get_num_threads())]
    child = subprocess.Popen([*command, *words(**given, out=tmp_path / "killed")])
    log = tmp_path / "killed.work" / "log.csv"
    while child.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 4):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert run(monkeypatch, **given, out=tmp_path / "killed") == 0
    for path in (tmp_path / "whole" / "unet").iterdir():
        assert (tmp_path / "killed" / "unet" / path.name).read_bytes() == path.read_bytes(), path.name


def test_guidance_as_an_input_changes_the_image(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, model=random_pipeline, data=images, out=tmp_path / "s", **QUICK, **EMBEDDED) == 0
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "s")
    pipeline.set_progress_bar_config(disable=True)

    def drawn(scale: float) -> np.ndarray:
        noise = torch.Generator().manual_seed(0)
        given = {"num_inference_steps": 2, "guidance_scale": scale, "output_type": "np", "generator": noise}
        return np.asarray(pipeline("plaque", **given).images)

    assert not np.array_equal(drawn(2.0), drawn(8.0))
