"""A run on an untrained pipeline: what changes, what is written, resuming after a kill."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from finetune_helpers import CLASSES, GROUPS, PROGRAM, killed, run, same, unet, words
from pipelines_helpers import new_pipeline
from safetensors.torch import load_file, save_file

from engines.pipeline_spec import read_spec
from shards.ingest.folder import open_data

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained pipeline folder whose UNet takes a mask and a masked image."""
    folder = tmp_path_factory.mktemp("inpaint") / "pipeline"
    new_pipeline(0, inpaint=True).save_pretrained(folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_full_tunes_the_unet_alone_and_says_on_what(
    finetune: Callable[..., int], random_pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    options = {"steps": 3, "validate_every": 3, "json": True, "template": "An image of {class}, {group}"}
    assert finetune(**options) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["images"], result["left_out"], result["prompts"], result["steps"]) == (8, 1, 4, 3)
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        assert content(out / part) == content(random_pipeline / part), part
    before, after = unet(random_pipeline), unet(out)
    assert before.keys() == after.keys()
    assert not same(before, after)
    spec = read_spec(out)
    assert spec.lineage == [f"p{i}" for i in range(8)]
    assert (spec.classes, spec.groups) == (CLASSES, GROUPS)
    assert len(spec.validation_prompts) == 4
    assert len(json.loads((out / "dermforge.json").read_text())["lineage_sha256"]["p0"]) == 64
    with (out / "training" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    assert (out / "training" / "step-000003.png").is_file()
    assert not list(out.rglob("*.bin"))
    assert str(tmp_path) not in "".join(p.read_text() for p in out.rglob("*.json"))
    DiffusionPipeline.from_pretrained(out, use_safetensors=True)
    assert not (tmp_path / "tuned.work").exists()
    assert finetune(**options) == 0
    assert json.loads(capsys.readouterr().out)["already"] is True


def test_a_base_of_odd_files_becomes_a_plain_folder(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-precision variant alone, and names as torch.compile leaves them: the result has every weight."""
    base = Path(shutil.copytree(random_pipeline, tmp_path / "base"))
    vae, text = base / "vae" / "diffusion_pytorch_model.safetensors", base / "text_encoder" / "model.safetensors"
    vae.rename(vae.with_name("diffusion_pytorch_model.fp16.safetensors"))
    save_file({f"_orig_mod.{name}": value for name, value in load_file(text).items()}, text)
    assert run(monkeypatch, model=base, data=images, out=tmp_path / "tuned", steps=1) == 0
    for part, path in (("vae", vae), ("text_encoder", text)):
        written = load_file(tmp_path / "tuned" / part / path.name)
        assert same(written, load_file(random_pipeline / part / path.name))
    DiffusionPipeline.from_pretrained(tmp_path / "tuned", use_safetensors=True)


@pytest.mark.parametrize("method", ["full", "textual-inversion"])
def test_a_killed_run_resumes_to_the_same_bits(
    method: str, random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL between two checkpoints; averaged weights and warm-up are part of what must come back."""
    options = {"model": random_pipeline, "data": images, "method": method, "template": "An image of {class}"}
    options |= {"steps": 12, "checkpoint_every": 2, "ema": 0.5, "warmup": 4, "learning_rate": 1e-3}
    assert run(monkeypatch, **options, out=tmp_path / "whole") == 0
    killed(tmp_path / "killed", **options)
    assert run(monkeypatch, **options, out=tmp_path / "killed") == 0
    for part in ("unet", "text_encoder"):
        for name, value in content(tmp_path / "whole" / part).items():
            assert content(tmp_path / "killed" / part)[name] == value, name

    def losses(name: str) -> list[str]:
        with (tmp_path / name / "training" / "log.csv").open() as file:
            return [row["loss"] for row in csv.DictReader(file)]

    assert losses("whole") == losses("killed")


def test_a_finished_run_can_be_made_longer(
    finetune: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And where it goes on is said."""
    assert finetune(method="lora", epochs=2, out=tmp_path / "whole") == 0
    assert finetune(method="lora", epochs=1, out=tmp_path / "longer", keep_work=True) == 0
    assert "resumes" not in capsys.readouterr().err
    assert finetune(method="lora", epochs=2, out=tmp_path / "longer") == 0
    said = capsys.readouterr().err
    assert re.search(r"takes \d+ of \d+ encoded views from \S*longer\.work/latents/real", said)
    assert re.search(r"resumes after step \d+ of \d+, from \S*longer\.work/checkpoint\.safetensors", said)
    assert re.search(r"longer/dermforge\.json holds \d+ names of photographs or patients in clear", said)
    assert "Before you publish: dermforge.json holds" in (tmp_path / "longer" / "README.md").read_text()
    assert same(unet(tmp_path / "whole"), unet(tmp_path / "longer"))


def test_inpainting_with_prior_preservation(
    inpainting: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tuned"
    options = {"model": inpainting, "data": images, "out": out, "steps": 2, "validate_every": 2, "keep_work": True}
    assert run(monkeypatch, **options, prior=2, prior_prompt="An image") == 0
    assert not same(unet(inpainting), unet(out))
    spec = read_spec(inpainting)
    assert unet(out)["conv_in.weight"].shape[1] == 2 * spec.latent_channels + 1
    assert (tmp_path / "tuned" / "training" / "step-000002.png").is_file()
    assert len(list((tmp_path / "tuned.work" / "prior").glob("*.png"))) == 2
    cached = load_file(tmp_path / "tuned.work" / "latents" / "real" / "view-0000.safetensors")
    assert cached["mask"].unique().tolist() in ([0.0, 1.0], [0.0])
    assert cached["masked"].shape == cached["mean"].shape == (8, *cached["mean"].shape[1:])
    assert cached["mean"].shape[1:] == (spec.latent_channels, spec.latent_size, spec.latent_size)


def test_shards_are_learnt_from_and_their_lineage_is_named(
    finetune: Callable[..., int], phantom_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From shards as from a folder; test shards as --holdout do not touch training ones, and themselves are refused."""
    options = {"steps": 1, "holdout": phantom_shards / "test"}
    assert finetune(data=phantom_shards / "train", **options) == 0
    spec = read_spec(tmp_path / "tuned")
    assert spec.phantom
    assert set(spec.lineage) == set(open_data(phantom_shards / "train").rows["id"])
    assert finetune(data=phantom_shards / "test", **options) == 2
    assert "no training images" in capsys.readouterr().err


def test_parts_of_a_batch_add_up_to_the_whole(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, more in (("whole", {}), ("parts", {"micro_batch": 1}), ("saving", {"gradient_checkpointing": True})):
        assert run(monkeypatch, model=random_pipeline, data=images, out=tmp_path / name, steps=2, **more) == 0
    whole = unet(tmp_path / "whole")
    for name in ("parts", "saving"):
        for key, value in unet(tmp_path / name).items():
            # AdamW turns tiny gradients into full steps
            torch.testing.assert_close(value, whole[key], atol=2e-5, rtol=0)


@pytest.mark.slow
def test_two_processes_do_the_steps_of_one(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"model": random_pipeline, "data": images, "steps": 3, "template": "An image of {class}"}
    assert run(monkeypatch, **options, out=tmp_path / "one") == 0
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", str(program), "1"]
    launch.append("finetune")
    subprocess.run([*launch, *words(**options, out=tmp_path / "two")], check=True, timeout=500)
    for key, value in unet(tmp_path / "one").items():
        torch.testing.assert_close(unet(tmp_path / "two")[key], value, atol=3e-5, rtol=0)


def test_images_without_classes_are_no_class_called_image(
    finetune: Callable[..., int], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing label must not become a word of the prompts; without {class} in the template nothing is missing."""
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in images.glob("*.png"):
        (bare / file.name).write_bytes(file.read_bytes())
    options = {"data": bare, "steps": 1, "views": 1}
    assert finetune(**options) == 2
    assert "names no class of its images" in capsys.readouterr().err
    assert finetune(**options, template="An image of skin") == 0
