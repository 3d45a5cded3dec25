"""A pipeline folder is checked before anything is built from it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from engines.checkpoint.folder import Weights, weight_files
from engines.checkpoint.weights import load_part
from engines.errors import EngineError
from engines.pipeline_spec import model_digest, read_spec


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_spec_is_the_pipelines_numbers(model: Path) -> None:
    spec = read_spec(model)
    assert (spec.size, spec.latent_size, spec.latent_channels, spec.vae_scale_factor) == (64, 8, 4, 8)
    assert (spec.max_length, spec.conditioning, spec.unet_in_channels) == (16, {"text": (16, 32)}, 4)
    assert (spec.prediction_type, spec.scaling_factor) == ("v_prediction", 0.8)
    assert spec.classes == ["annulus", "plaque"]
    assert spec.lineage == ["real-1", "real-2"]
    assert spec.validation_prompts[0].label == "annulus"


def test_another_size_is_taken_where_it_fits(model: Path) -> None:
    assert read_spec(model, 128).latent_size == 16
    with pytest.raises(EngineError, match="expected a multiple of 16"):
        read_spec(model, 100)


@pytest.mark.parametrize("size", [0, -8, -16, 8, 65, 4112, 10**9])
def test_a_size_that_was_given_is_never_another(model: Path, size: int) -> None:
    said = f"size {size} does not fit {model}: expected a multiple of 16, at least 16 and at most 4096"
    with pytest.raises(EngineError, match=re.escape(said)):
        read_spec(model, size)


def test_a_missing_part_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    with pytest.raises(EngineError, match=r"vae/config\.json is missing"):
        read_spec(folder)


def test_pickled_weights_are_refused_with_the_command_that_converts_them(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(EngineError, match=r"pickle.*save_pretrained"):
        read_spec(folder)


def test_an_unknown_unet_class_is_refused(folder: Path) -> None:
    edit(folder / "unet" / "config.json", _class_name="UNetMotionModel")
    with pytest.raises(EngineError, match="is of the class UNetMotionModel"):
        read_spec(folder)


def test_another_kind_of_pipeline_is_refused(folder: Path) -> None:
    edit(folder / "model_index.json", _class_name="KandinskyPipeline")
    with pytest.raises(EngineError, match=r"holds a Kandinsky.*Stable Diffusion XL .*engines/models"):
        read_spec(folder)


def test_parts_of_different_models_are_refused(folder: Path) -> None:
    edit(folder / "unet" / "config.json", cross_attention_dim=768)
    with pytest.raises(EngineError, match="768 dimensions and the text encoder gives 32"):
        read_spec(folder)


def test_broken_json_is_named(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("{")
    with pytest.raises(EngineError, match="is not JSON"):
        read_spec(folder)


def test_the_digest_follows_the_weights_and_not_the_place(model: Path, folder: Path) -> None:
    assert model_digest(folder) == model_digest(model)
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model_digest(folder) != model_digest(model)


def test_the_digest_follows_a_part_that_is_a_link(folder: Path, tmp_path: Path) -> None:
    before, elsewhere = model_digest(folder), tmp_path / "vae"
    shutil.move(folder / "vae", elsewhere)
    (folder / "vae").symlink_to(elsewhere, target_is_directory=True)
    assert model_digest(folder) == before
    weights = elsewhere / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model_digest(folder) != before


def test_one_copy_of_the_weights_is_read(folder: Path) -> None:
    """Hub folders also hold training and half-precision copies; half precision is read only if it is alone."""
    unet = folder / "unet"
    full = unet / "diffusion_pytorch_model.safetensors"
    for copy in ("non_ema", "fp16"):
        shutil.copyfile(full, unet / f"diffusion_pytorch_model.{copy}.safetensors")
    assert weight_files(folder, "unet") == Weights([full])
    full.unlink()
    assert weight_files(folder, "unet") == Weights([unet / "diffusion_pytorch_model.fp16.safetensors"], "fp16")
    assert load_part(folder, "unet").dtype == torch.float32
    (unet / "diffusion_pytorch_model.fp16.safetensors").unlink()
    with pytest.raises(EngineError, match="has no weights"):
        read_spec(folder)


def test_averaged_weights_that_are_not_read_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_spec(folder)
    assert not caplog.records
    full = folder / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copyfile(full, full.with_name("diffusion_pytorch_model.non_ema.safetensors"))
    shutil.copytree(folder / "unet", folder / "unet_ema")
    read_spec(folder)
    said = caplog.messages[0]
    assert "unet/diffusion_pytorch_model.non_ema.safetensors, unet_ema" in said


@pytest.mark.parametrize("files", [[1], "unet", 3])
def test_digests_that_are_no_table_are_refused(folder: Path, files: object) -> None:
    edit(folder / "dermforge.json", files=files)
    with pytest.raises(EngineError, match="expected names of files with their sha256"):
        model_digest(folder)
