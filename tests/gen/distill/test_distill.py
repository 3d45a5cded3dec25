"""A run on an untrained pipeline: what changes, what is written, who may use it, resuming after a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionPipeline
from distill_helpers import run
from finetune_helpers import PROGRAM, killed, same, unet, words
from finetune_helpers import run as train
from pipelines_helpers import new_pipeline
from single_files import checkpoint, sd

import engines
from engines.certificate import read_certificate
from engines.pipeline_spec import read_spec
from gen.commands.distill import distill
from gen.commands.distill_decoder import distill_decoder
from gen.commands.finetune import finetune
from gen.distill.student import Student
from gen.sampling.own_steps import own_steps

pytestmark = pytest.mark.usefixtures("fresh_accelerator")
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


@pytest.mark.parametrize("options", [EMBEDDED, pytest.param(LORA, marks=pytest.mark.slow)], ids=["full", "lora"])
def test_a_killed_run_resumes_to_the_same_bits(
    options: dict[str, object], random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL between two checkpoints: the target's weights are part of what must come back."""
    given = {"model": random_pipeline, "data": images, "template": "An image of {class}", **QUICK, **options}
    given |= {"steps": 8, "checkpoint_every": 2, "ema": 0.5}
    assert run(monkeypatch, **given, out=tmp_path / "whole") == 0
    killed(tmp_path / "killed", "distill", **given)
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


def test_a_single_file_teaches_what_its_folder_teaches(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The student says which file its teacher was."""
    folder = sd(tmp_path / "sd")
    file = checkpoint(folder, tmp_path / "derm.safetensors")
    given = {"data": images, "template": "{class}", **QUICK}
    assert run(monkeypatch, model=folder, out=tmp_path / "of-folder", **given) == 0
    assert run(monkeypatch, model=file, parts_from=folder, out=tmp_path / "of-file", **given) == 0
    assert same(unet(tmp_path / "of-folder"), unet(tmp_path / "of-file"))
    source = read_spec(tmp_path / "of-file").source
    assert source is not None
    assert source.file == "derm.safetensors"


def test_a_student_is_not_tuned_further(
    random_pipeline: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fine-tuning would make it forget its few steps, and its result would be drawn as any pipeline."""
    assert run(monkeypatch, model=random_pipeline, data=images, out=tmp_path / "student", **QUICK) == 0
    given = {"model": tmp_path / "student", "data": images, "out": tmp_path / "tuned"}
    for command in (finetune, distill):
        assert train(monkeypatch, command, **given, steps=1) == 2
        assert "a student that draws in 4 steps" in " ".join(capsys.readouterr().err.split())


def test_names_in_clear_are_warned_of(
    random_pipeline: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By every command that trains."""
    for command in (finetune, distill, distill_decoder):
        given = {"model": random_pipeline, "data": images, "out": tmp_path / command.__name__, "steps": 1, "views": 1}
        assert train(monkeypatch, command, **given, schedule="constant") == 0
        assert "dermforge.json holds 8 names of photographs" in " ".join(capsys.readouterr().err.split())


def test_all_three_networks_are_in_the_precision_that_was_asked_for(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher runs twice as many rows as the student."""
    seen: list[tuple[int, torch.dtype]] = []
    predicted = Student.predicted

    def noting(self: Student, denoiser: Any, noisy: torch.Tensor, *more: Any) -> torch.Tensor:
        out = predicted(self, denoiser, noisy, *more)
        seen.append((len(noisy), out.dtype))
        return out

    monkeypatch.setattr(Student, "predicted", noting)
    given = {"model": random_pipeline, "data": images, "out": tmp_path / "student", **QUICK, "steps": 1}
    assert run(monkeypatch, **given, mixed_precision="bf16") == 0
    assert seen == [(2, torch.bfloat16), (4, torch.bfloat16), (2, torch.bfloat16)]


@pytest.mark.slow
def test_two_processes_do_the_steps_of_one(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"model": random_pipeline, "data": images, "template": "An image of {class}", **QUICK}
    assert run(monkeypatch, **given, out=tmp_path / "one") == 0
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", str(program), "1"]
    subprocess.run([*launch, "distill", *words(**given, out=tmp_path / "two")], check=True, timeout=500)
    for key, value in unet(tmp_path / "one").items():
        torch.testing.assert_close(unet(tmp_path / "two")[key], value, atol=3e-5, rtol=0)
