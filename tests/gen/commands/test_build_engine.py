"""`gen build-engine`: options reach the build, and a classifier counts the labels that change."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from adapters_helpers import kohya_file, lcm_lora
from command_helpers import call
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

import engines
from dermforge.common.classifier import RECORD, WEIGHTS
from dermforge.common.errors import CheckFailed
from engines import read_bundle
from engines.adapters import parse_lora, with_adapters
from engines.certificate import read_certificate
from engines.pipeline_spec import model_digest
from gen.commands.build_engine import Steps, build_engine
from gen.commands.inspect_bundle import inspect_bundle
from shards import ShardSet


def test_a_classifier_judges_the_certificates_images(
    pipelines: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=3).state_dict(), tmp_path / WEIGHTS)
    record = {"recipe": {"model": "test_resnet", "size": 32}, "classes": ["a", "b", "c"]}
    (tmp_path / RECORD).write_text(json.dumps(record))
    out = tmp_path / "bundle"
    build_engine(
        str(pipelines["text"]),
        out,
        backend="torch",
        rows=2,
        prompt=["a"],
        classifier=tmp_path,
        allow_parity_failure=True,
        json=True,
    )
    shown = json.loads(capsys.readouterr().out)
    built = read_bundle(out)
    assert shown["digest"] == built.digest
    assert (shown["backend"], shown["rows"]) == ("torch", 2)
    certificate = read_certificate(built)
    assert certificate.images.n == 1
    assert certificate.images.label_flips == 0


def test_an_adapter_is_in_the_bundle_and_its_images_are_unknown_in_words(
    pipelines: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(pipelines["text"], safety_checker=None)
    path = kohya_file(pipeline, tmp_path / "derm.safetensors", 1)
    out, given = tmp_path / "bundle", [f"{path}:0.5"]
    options = {"backend": "torch", "rows": 2, "prompt": ["a"], "allow_parity_failure": True}
    build_engine(str(pipelines["text"]), out, lora=given, **options)  # type: ignore[arg-type]
    spec = read_bundle(out).manifest.spec
    assert [(one.file, one.scale) for one in spec.adapters] == [("derm.safetensors", 0.5)]
    assert spec.lineage[0] == "real1"
    capsys.readouterr()
    with contextlib.suppress(CheckFailed):
        inspect_bundle(out)
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())  # whatever lines the table breaks
    assert "1 real images, and images that nobody recorded (of derm.safetensors" in shown
    assert "derm.safetensors x 0.5" in shown


def test_the_model_takes_the_first_step_of_what_an_adapter_draws(pipelines: dict[str, Path], tmp_path: Path) -> None:
    """`--few-steps` with the file of an LCM-LoRA, and `gen sample` as it comes: the same images as of both folders."""
    model, out = pipelines["text"], tmp_path / "bundle"
    file = lcm_lora(model, tmp_path / "lcm.safetensors")
    options = {"backend": "torch", "rows": 4, "prompt": ["a"], "allow_parity_failure": True}
    build_engine(str(model), out, few_steps=f"{file}:0.5", **options)  # type: ignore[arg-type]
    manifest = read_bundle(out).manifest
    assert manifest.base is not None
    assert manifest.base.model_digest == model_digest(model) != manifest.model_digest
    assert (manifest.base.spec.guidance, manifest.spec.guidance) == ("classifier-free", "none")
    assert [(one.file, one.scale) for one in manifest.spec.adapters] == [("lcm.safetensors", 0.5)]
    assert manifest.base.spec.adapters == []
    assert len(manifest.spec.lineage) == 2  # the model's, and what nobody recorded
    sample = f"gen sample --per-cell 1 --classes plaque --groups dark --device cpu --shards {tmp_path}"
    assert call(f"{sample}/adapter --engine {out}") == 0
    ((drawn, image),) = ShardSet.open(tmp_path / "adapter").images()
    assert (drawn.solver, drawn.steps, drawn.base_steps, drawn.guidance) == ("lcm", 4, 1, 3.0)

    with with_adapters(model, [parse_lora(f"{file}:0.5")], []) as student:
        given = {"backend": "torch", "rows": 4, "prompts": ["a"], "allow_parity_failure": True}
        engines.build(student, tmp_path / "of-folders", base=model, **given)  # type: ignore[arg-type]
    assert call(f"{sample}/folders --engine {tmp_path}/of-folders") == 0
    ((_, expected),) = ShardSet.open(tmp_path / "folders").images()
    assert np.array_equal(image, expected)
    assert call(f"{sample}/student --engine {out} --base-steps 0 --guidance 1") == 0
    ((_, alone),) = ShardSet.open(tmp_path / "student").images()
    assert not np.array_equal(image, alone)


def test_a_step_says_how_long_it_took(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5, 12.5, 13.5, 20.5, 21.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    steps = Steps()
    steps("unet")
    steps("images")
    steps("images", "step 1 of 8")  # too soon to be said
    steps("images", "step 2 of 8")
    steps.end()
    lines = ["unet ...", "unet: 2.5 s", "images ...", "  step 2 of 8, 8 s", "images: 9.0 s"]
    assert capsys.readouterr().err.splitlines() == lines
