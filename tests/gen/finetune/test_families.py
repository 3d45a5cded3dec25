"""Runs on tiny pipelines of every family: what changes, what is written, and who opens it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from family_pipelines import PIPELINES, opened, pixart, sd3, sdxl
from finetune_helpers import killed, run, same
from safetensors.torch import load_file, save_file

import engines
from dermforge.common.errors import UserError
from engines.adapters import with_adapters
from engines.checkpoint.weights import load_part, read_weights
from engines.conditioning import gauss
from engines.models import families
from engines.pipeline_spec import read_spec
from gen.finetune.base import load_base, read_base
from gen.finetune.settings import Execution, Hyperparameters
from gen.finetune.task import Task
from gen.finetune.text import checked_ids
from gen.finetune.tune import new_accelerator, tune
from shards.format.images import encode_image
from shards.ingest.folder import open_data

SIZE = 64
pytestmark = pytest.mark.usefixtures("fresh_accelerator")
PARTS = {
    "sdxl": (sdxl, "unet"),
    "sdxl-inpaint": (PIPELINES["sdxl-inpaint"], "unet"),
    "sd3": (sd3, "transformer"),
    "sd3-without-t5": (PIPELINES["sd3-without-t5"], "transformer"),
    "flux-dev": (PIPELINES["flux-dev"], "transformer"),
    "pixart": (pixart, "transformer"),
}


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image of one class."""
    folder = tmp_path_factory.mktemp("photo")
    (folder / "plaque").mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    (folder / "plaque" / "p.png").write_bytes(encode_image(picture))
    return folder


def tuned(model: Path, data: Path, out: Path, execution: Execution | None = None, **options: object) -> Path:
    """The pipeline of two steps, or of other options; its folder."""
    AcceleratorState._reset_state(True)
    usual = {"method": "lora", "steps": 2, "views": 1, "batch": 2, "size": SIZE, "learning_rate": 1e-3, "rank": 4}
    settings = Hyperparameters.check(**{**usual, "template": "a {class}", **options})
    execution = execution or Execution()
    tune(Task(model, open_data(data), out), settings, execution, new_accelerator(settings, execution))
    return out


def losses(out: Path) -> list[float]:
    with (out / "training" / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@torch.no_grad()
def prediction(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    """What a folder's denoiser makes of noise, with an adapter that diffusers loads."""
    spec = read_spec(folder, SIZE)
    family, noise = families()[spec.family], torch.Generator().manual_seed(0)
    denoiser = load_part(folder, spec.denoiser)
    if adapter:
        pipeline = opened(folder)
        pipeline.load_lora_weights(adapter, weight_name="pytorch_lora_weights.safetensors")
        denoiser = getattr(pipeline, spec.denoiser)
    latents = torch.randn(2, spec.unet_in_channels, spec.latent_size, spec.latent_size, generator=noise)
    told = gauss(spec.conditioning, 2, generator=noise)
    return family.predict(denoiser, latents, torch.tensor([900.0, 100.0]), told, spec)


@pytest.mark.parametrize("name", PARTS)
def test_lora_is_fused_into_the_denoiser_alone(name: str, photo: Path, tmp_path: Path) -> None:
    """Every family; the adapter that is kept gives in diffusers what the fused weights give."""
    make, part = PARTS[name]
    base = make(tmp_path / "base")
    out = tuned(base, photo, tmp_path / "out", Execution(keep_adapter=name != "pixart"))
    assert prediction(out).ne(prediction(base)).any()
    if name != "pixart":
        torch.testing.assert_close(prediction(base, out / "lora"), prediction(out), atol=1e-4, rtol=1e-4)
    kept = [path for path in sorted(base.rglob("*")) if path.is_file() and path.parent.name not in (part, base.name)]
    for path in kept:
        if path.suffix == ".json":
            assert (out / path.relative_to(base)).read_bytes() == path.read_bytes(), path
    for other in {path.parent.name for path in kept if path.suffix == ".safetensors"}:  # whose names may be newer ones
        before, after = read_weights(base, other), read_weights(out, other)
        assert before.keys() == after.keys()
        assert all(before[key].equal(after[key]) for key in before), other
    kind = json.loads((base / "model_index.json").read_text())["_class_name"]
    assert type(opened(out)).__name__ == kind
    assert read_spec(out, SIZE).lineage == ["plaque-p"]


@pytest.mark.parametrize("name", ["sdxl", "flux-dev", "pixart"])
def test_every_weight_is_tuned_and_one_image_is_learnt(name: str, photo: Path, tmp_path: Path) -> None:
    """`full` of each kind of prediction: the loss falls by a quarter and more in 30 steps."""
    make, part = PARTS[name]
    base = make(tmp_path / "base")
    out = tuned(base, photo, tmp_path / "out", method="full", steps=30, batch=4, learning_rate=3e-3)
    fell = losses(out)
    assert np.mean(fell[-8:]) < 0.75 * np.mean(fell[:3])
    before, after = read_weights(base, part), read_weights(out, part)
    assert before.keys() == after.keys()
    changed = [key for key in before if before[key].ne(after[key]).any()]
    assert len(changed) > 0.9 * len(before)


def test_a_tuned_folder_becomes_an_engine(photo: Path, tmp_path: Path) -> None:
    out = tuned(sd3(tmp_path / "base", third=False), photo, tmp_path / "out")
    bundle = engines.build(out, tmp_path / "bundle", backend="torch", rows=2, size=SIZE)
    assert bundle.manifest.certified
    assert bundle.manifest.spec.lineage == ["plaque-p"]


def test_a_killed_run_of_a_transformer_resumes_to_the_same_bits(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = sd3(tmp_path / "base")
    options: dict[str, Any] = {"model": base, "data": photo, "method": "lora", "template": "a {class}", "size": SIZE}
    options |= {"steps": 10, "checkpoint_every": 2, "ema": 0.5, "learning_rate": 1e-3, "views": 1, "drop_prompt": 0.3}
    assert run(monkeypatch, **options, out=tmp_path / "whole") == 0
    killed(tmp_path / "killed", **options)
    assert run(monkeypatch, **options, out=tmp_path / "killed") == 0
    weights = Path("transformer", "diffusion_pytorch_model.safetensors")
    assert (tmp_path / "whole" / weights).read_bytes() == (tmp_path / "killed" / weights).read_bytes()
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed")


def test_a_word_is_learnt_in_both_text_encoders(photo: Path, tmp_path: Path) -> None:
    """The file of the word, added to the base, gives the tuned text encoders."""
    base = sdxl(tmp_path / "base")
    out = tuned(base, photo, tmp_path / "out", method="textual-inversion", drop_prompt=0.5)
    assert same(read_weights(base, "unet"), read_weights(out, "unet"))
    opened(out)
    read_spec(out, SIZE)
    with with_adapters(base, [], [out / "words" / "<plaque>.safetensors"]) as added:
        for part in ("text_encoder", "text_encoder_2"):
            before, ours = read_weights(base, part), read_weights(out, part)
            assert same(read_weights(added, part), ours)
            table = "text_model.embeddings.token_embedding.weight"
            assert len(ours[table]) == len(before[table]) + 1


def test_prior_images_and_sheets_are_of_any_family(photo: Path, tmp_path: Path) -> None:
    """Text encoders are gone by then."""
    execution = Execution(validate_every=2, validation_steps=2, keep_work=True)
    base = PIPELINES["flux-schnell"](tmp_path / "base")
    out = tuned(base, photo, tmp_path / "out", execution, prior=1, prior_prompt="skin")
    assert (out / "training" / "step-000002.png").is_file()
    assert len(list((tmp_path / "out.work" / "prior").glob("*.png"))) == 1


def test_a_folder_in_half_precision_is_tuned_in_float32(photo: Path, tmp_path: Path) -> None:
    base = sdxl(tmp_path / "base")
    opened(base).to(torch.float16).save_pretrained(tmp_path / "half")
    out = tuned(tmp_path / "half", photo, tmp_path / "out")
    assert load_file(out / "unet" / "diffusion_pytorch_model.safetensors")["conv_in.weight"].dtype == torch.float32
    text = Path("text_encoder_2", "model.safetensors")
    assert same(load_file(out / text), load_file(tmp_path / "half" / text))
    opened(out)


@pytest.mark.parametrize(("make", "length", "fits"), [(sd3, 40, True), (sdxl, 12, True), (sdxl, 40, False)])
def test_a_prompt_may_be_as_long_as_the_longest_text_encoder_reads(
    make: Callable[[Path], Path], length: int, fits: bool, tmp_path: Path
) -> None:
    """CLIP sees the beginning of what T5 reads whole, as in diffusers."""
    base = load_base(*read_base(make(tmp_path / "base"), SIZE))
    prompts = [" ".join("a" * length), ""]
    if fits:
        assert checked_ids(base, prompts).shape == (2, base.spec.max_length)
        return
    with pytest.raises(UserError, match="more than the 16 tokens"):
        checked_ids(base, prompts)


def test_damaged_weights_are_named(photo: Path, tmp_path: Path) -> None:
    """A text encoder is opened when prompts are encoded, which is before the first step."""
    base = sdxl(tmp_path / "base")
    path = base / "text_encoder_2" / "model.safetensors"
    weights = load_file(path)
    save_file({name: torch.full_like(value, float("nan")) for name, value in weights.items()}, path)
    with pytest.raises(engines.EngineError, match=r"text_encoder_2.*NaN"):
        tuned(base, photo, tmp_path / "out")
    assert not (tmp_path / "out").exists()
