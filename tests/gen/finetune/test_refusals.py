"""What `gen finetune` refuses, in one line: options, images, models, and what belongs to another run."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from finetune_helpers import run

pytestmark = pytest.mark.usefixtures("fresh_accelerator")
BAD = {
    "method": (("--method", "dreambooth"), "unknown method 'dreambooth'"),
    "model": (("--model", "./none"), "no pipeline folder"),
    "data": (("--data", "./none"), "is not a folder"),
    "prompt": (("--template", "An image of {class}" + " of the skin of an arm" * 9), "more than the 16 tokens"),
    "field": (("--template", "{disease}"), "names {disease}"),
    "holdout": (("--holdout", "held.txt"), "held out: p3"),
    "micro": (("--micro-batch", "3"), "--micro-batch 3"),
    "fp16": (("--mixed-precision", "fp16"), "needs a CUDA device"),
    "tracker": (("--track", "paper"), "unknown tracker 'paper'"),
    "wandb": (("--track", "wandb"), "pip install wandb"),
    "size": (("--size", "65"), "size 65 does not fit"),
    "rate": (("--learning-rate", "-1"), "--learning-rate is -1"),
    "prior": (("--method", "textual-inversion", "--prior", "2"), "leave it out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(
    case: str,
    random_pipeline: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if case == "fp16" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    if case == "wandb" and find_spec("wandb"):
        pytest.skip("wandb is installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "held.txt").write_text("p3\n")
    given, said = BAD[case]
    options = {
        "--model": str(random_pipeline),
        "--data": str(images),
        "--out": "tuned",
        "--steps": "1",
        "--template": "An image of {class}",
    } | dict(zip(given[::2], given[1::2], strict=True))
    assert run(monkeypatch, *(word for pair in options.items() for word in pair)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "images/s" not in line]  # slow machines' progress
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "tuned").exists()


def test_broken_images_and_models_are_named(
    random_pipeline: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(model: Path, data: Path, said: str) -> None:
        assert (
            run(
                monkeypatch,
                "--model",
                model,
                "--data",
                data,
                "--out",
                tmp_path / "tuned",
                "--steps",
                1,
                "--template",
                "An image of {class}",
            )
            == 2
        )
        assert said in capsys.readouterr().err

    photos = tmp_path / "photos"
    shutil.copytree(images, photos)
    (photos / "p2.png").write_bytes((photos / "p2.png").read_bytes()[:500])
    refused(random_pipeline, photos, "training image p2")
    (tmp_path / "empty").mkdir()
    refused(random_pipeline, tmp_path / "empty", "holds no images")
    weights = Path("unet", "diffusion_pytorch_model.safetensors")
    for name, said in (("pickled", "is a pickle"), ("partial", "is missing"), ("damaged", "cannot be loaded")):
        model = tmp_path / name
        shutil.copytree(random_pipeline, model)
        if name == "pickled":
            (model / weights).rename(model / "unet" / "diffusion_pytorch_model.bin")
        elif name == "partial":
            shutil.rmtree(model / "vae")
        else:
            (model / weights).write_bytes((model / weights).read_bytes()[:5000])
        refused(model, images, said)


def test_another_run_s_checkpoint_and_folder_are_left_alone(
    random_pipeline: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "tuned"
    options = (
        "--model",
        random_pipeline,
        "--data",
        images,
        "--out",
        out,
        "--steps",
        1,
        "--method",
        "lora",
        "--keep-work",
        "--template",
        "An image of {class}",
    )
    assert run(monkeypatch, *options) == 0
    assert run(monkeypatch, *options, "--learning-rate", 0.1) == 2
    assert "learning_rate (0.0001 then, 0.1 now)" in capsys.readouterr().err
    (tmp_path / "tuned.work" / "checkpoint.safetensors").write_bytes(b"damaged")
    assert run(monkeypatch, *options, "--steps", 2) == 2
    assert "is damaged" in capsys.readouterr().err
    assert run(monkeypatch, *options, "--steps", 2, "--fresh") == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    assert run(monkeypatch, *options, "--out", tmp_path / "mine") == 2
    assert "is not a fine-tuned pipeline" in capsys.readouterr().err
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
