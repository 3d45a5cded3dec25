"""`gen build-engine`: options reach the build, and a classifier counts the labels that change."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest
import timm
import torch
from adapters_helpers import kohya_file
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

from dermforge.common.classifier import RECORD, WEIGHTS
from dermforge.common.errors import CheckFailed
from engines import read_bundle
from engines.certificate import read_certificate
from gen.commands.build_engine import Steps, build_engine
from gen.commands.inspect_bundle import inspect_bundle


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
