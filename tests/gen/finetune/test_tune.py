"""`gen finetune` on an untrained pipeline: what changes, what is written, going on after a kill."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
from finetune_helpers import run
from pipelines_helpers import new_pipeline
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from engines.pipeline_spec import read_spec
from shards.format.images import decode_image
from shards.ingest.folder import open_data

CLASSES, GROUPS = ["lichen_planus", "plaque"], ["I", "V"]  # of `images`
pytestmark = pytest.mark.usefixtures("fresh_accelerator")
#: Runs the command with as many threads as the tests, so that sums are in the same order.
PROGRAM = """
import sys, torch
from gen.commands.finetune import finetune
from dermforge.common import console

torch.set_num_threads(int(sys.argv.pop(1)))
app = console.new_app("gen")
app.command()(finetune)
console.run(app)
"""


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained pipeline folder whose UNet takes a mask and a masked image."""
    folder = tmp_path_factory.mktemp("inpaint") / "pipeline"
    new_pipeline(0, inpaint=True).save_pretrained(folder)
    return folder


def unet(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_full_tunes_the_unet_alone_and_says_on_what(
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
        3,
        "--validate-every",
        3,
        "--template",
        "An image of {class}, {group}",
        "--json",
    )
    assert run(monkeypatch, *options) == 0
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
    assert run(monkeypatch, *options) == 0
    assert json.loads(capsys.readouterr().out)["already"] is True


@pytest.mark.parametrize("method", ["full", "textual-inversion"])
def test_a_killed_run_goes_on_to_the_same_bits(
    method: str, random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL between two checkpoints; averaged weights and warm-up are part of what must come back."""
    options = (
        "--model",
        random_pipeline,
        "--data",
        images,
        "--method",
        method,
        "--steps",
        12,
        "--checkpoint-every",
        2,
        "--ema",
        0.5,
        "--warmup",
        4,
        "--learning-rate",
        1e-3,
        "--template",
        "An image of {class}",
    )
    assert run(monkeypatch, *options, "--out", tmp_path / "whole") == 0
    words = ["--out", str(tmp_path / "killed"), *map(str, options)]
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(torch.get_num_threads()), *words])
    log = tmp_path / "killed.work" / "log.csv"
    while child.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 4):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert run(monkeypatch, *options, "--out", tmp_path / "killed") == 0
    for part in ("unet", "text_encoder"):
        for name, value in content(tmp_path / "whole" / part).items():
            assert content(tmp_path / "killed" / part)[name] == value, name

    def losses(name: str) -> list[str]:
        with (tmp_path / name / "training" / "log.csv").open() as file:
            return [row["loss"] for row in csv.DictReader(file)]

    assert losses("whole") == losses("killed")


def test_a_finished_run_can_be_made_longer(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--model", random_pipeline, "--data", images, "--method", "lora", "--template", "An image of {class}")
    assert run(monkeypatch, *options, "--epochs", 2, "--out", tmp_path / "whole") == 0
    assert run(monkeypatch, *options, "--epochs", 1, "--out", tmp_path / "longer", "--keep-work") == 0
    assert run(monkeypatch, *options, "--epochs", 2, "--out", tmp_path / "longer") == 0
    assert same(unet(tmp_path / "whole"), unet(tmp_path / "longer"))


def test_a_fused_adapter_is_the_base_with_the_adapter(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parity with diffusers' own `load_lora_weights` of the adapter that is kept."""
    out = tmp_path / "tuned"
    assert (
        run(
            monkeypatch,
            "--model",
            random_pipeline,
            "--data",
            images,
            "--out",
            out,
            "--method",
            "lora",
            "--steps",
            4,
            "--learning-rate",
            0.01,
            "--keep-adapter",
            "--template",
            "An image of {class}",
        )
        == 0
    )
    fused = UNet2DConditionModel.from_pretrained(out / "unet")
    pipeline = StableDiffusionPipeline.from_pretrained(random_pipeline, safety_checker=None)
    spec = read_spec(random_pipeline)
    x = torch.randn(2, spec.latent_channels, spec.latent_size, spec.latent_size)
    t, words = torch.tensor([10, 900]), torch.randn(2, spec.max_length, spec.text_dim)
    with torch.no_grad():
        plain = pipeline.unet(x, t, words).sample
        pipeline.load_lora_weights(out / "lora", weight_name=next((out / "lora").glob("*.safetensors")).name)
        adapted, ours = pipeline.unet(x, t, words).sample, fused(x, t, words).sample
    torch.testing.assert_close(ours, adapted, atol=1e-4, rtol=1e-4)
    assert (ours - plain).abs().max() > 1e-3


def test_textual_inversion_learns_words_and_nothing_else(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tuned"
    assert (
        run(
            monkeypatch,
            "--model",
            random_pipeline,
            "--data",
            images,
            "--out",
            out,
            "--method",
            "textual-inversion",
            "--steps",
            3,
            "--template",
            "An image of {class}",
        )
        == 0
    )
    assert same(unet(random_pipeline), unet(out))
    before, after = (load_file(f / "text_encoder" / "model.safetensors") for f in (random_pipeline, out))
    table = "text_model.embeddings.token_embedding.weight"
    assert all(torch.equal(before[k], after[k]) for k in before if k != table)
    n = len(before[table])
    assert torch.equal(after[table][:n], before[table])
    assert len(after[table]) == n + 2
    spec = read_spec(out)
    assert spec.prompt_template == "An image of <{class}>"
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    assert n in tokenizer("An image of <lichen planus>").input_ids
    assert n + 1 in tokenizer("An image of <plaque>").input_ids
    pipeline = StableDiffusionPipeline.from_pretrained(random_pipeline, safety_checker=None)
    pipeline.load_textual_inversion(out / "words", weight_name="plaque.safetensors")
    assert torch.equal(pipeline.text_encoder.get_input_embeddings().weight[-1], after[table][-1])


def test_inpainting_with_prior_preservation(
    inpainting: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tuned"
    assert (
        run(
            monkeypatch,
            "--model",
            inpainting,
            "--data",
            images,
            "--out",
            out,
            "--steps",
            2,
            "--prior",
            2,
            "--prior-prompt",
            "An image",
            "--validate-every",
            2,
            "--template",
            "An image of {class}",
            "--keep-work",
        )
        == 0
    )
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
    random_pipeline: Path,
    phantom_shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From shards as from a folder; test shards as --holdout do not touch training ones, and themselves are refused."""
    held_out = ("--holdout", phantom_shards / "test")
    options = (
        "--model",
        random_pipeline,
        "--steps",
        1,
        "--out",
        tmp_path / "tuned",
        "--template",
        "An image of {class}",
        *held_out,
    )
    assert run(monkeypatch, "--data", phantom_shards / "train", *options) == 0
    spec = read_spec(tmp_path / "tuned")
    assert spec.phantom
    assert set(spec.lineage) == set(open_data(phantom_shards / "train").rows["id"])
    assert run(monkeypatch, "--data", phantom_shards / "test", *options) == 2
    assert "no training images" in capsys.readouterr().err


def test_one_model_a_class(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        run(
            monkeypatch,
            "--model",
            random_pipeline,
            "--data",
            images,
            "--out",
            tmp_path / "each",
            "--per-class",
            "--steps",
            1,
            "--template",
            "An image of {class}",
        )
        == 0
    )
    for number, cls in enumerate(CLASSES):
        spec = read_spec(tmp_path / "each" / cls)
        assert spec.classes == [cls]
        assert spec.lineage == [f"p{i}" for i in range(number, 8, 2)]


def test_tensorboard_reads_back_what_was_logged(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By TensorBoard's own reader, from the folder that stays: the log's numbers, the sheet, a run a class."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "tuned"
    assert (
        run(
            monkeypatch,
            "--model",
            random_pipeline,
            "--data",
            images,
            "--out",
            out,
            "--steps",
            2,
            "--batch",
            2,
            "--validate-every",
            2,
            "--track",
            "tensorboard",
            "--per-class",
            "--template",
            "An image of {class}",
        )
        == 0
    )
    for cls in CLASSES:
        training = out / cls / "training"
        events = EventAccumulator(str(training / "tracking" / "dermforge-finetune")).Reload()
        with (training / "log.csv").open() as file:
            logged = list(csv.DictReader(file))
        for name in ("loss", "learning_rate", "gradient_norm"):
            read = [(e.step, e.value) for e in events.Scalars(name)]
            assert read == [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-5)) for row in logged], name
        (sheet,) = events.Images("validation")
        assert sheet.step == 2
        shown = decode_image(sheet.encoded_image_string)
        np.testing.assert_array_equal(shown, decode_image((training / "step-000002.png").read_bytes()))


def test_parts_of_a_batch_add_up_to_the_whole(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, more in (("whole", ()), ("parts", ("--micro-batch", 1)), ("saving", ("--gradient-checkpointing",))):
        assert (
            run(
                monkeypatch,
                "--model",
                random_pipeline,
                "--data",
                images,
                "--out",
                tmp_path / name,
                "--steps",
                2,
                "--template",
                "An image of {class}",
                *more,
            )
            == 0
        )
    whole = unet(tmp_path / "whole")
    for name in ("parts", "saving"):
        for key, value in unet(tmp_path / name).items():
            # AdamW turns tiny gradients into full steps
            torch.testing.assert_close(value, whole[key], atol=2e-5, rtol=0)


@pytest.mark.slow
def test_two_processes_do_the_steps_of_one(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [
        "--model",
        str(random_pipeline),
        "--data",
        str(images),
        "--steps",
        "3",
        "--template",
        "An image of {class}",
    ]
    assert run(monkeypatch, *options, "--out", tmp_path / "one") == 0
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--cpu",
            "--num_processes",
            "2",
            str(program),
            "1",
            *options,
            "--out",
            str(tmp_path / "two"),
        ],
        check=True,
        timeout=500,
    )
    for key, value in unet(tmp_path / "one").items():
        torch.testing.assert_close(unet(tmp_path / "two")[key], value, atol=3e-5, rtol=0)
