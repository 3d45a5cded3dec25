"""`gen inspect` says what a model is before anything is built of it; `gen build-engine` builds of the same."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from adapters_helpers import kohya_file
from diffusers import StableDiffusionPipeline
from single_files import checkpoint, sd

from dermforge.common.errors import UserError
from engines import read_bundle
from gen.commands.build_engine import build_engine
from gen.commands.inspect_bundle import inspect_bundle


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sd(tmp_path_factory.mktemp("sd"))


def test_a_folder_names_the_files_that_are_read_and_those_that_are_not(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "model"))
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(unet, unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    inspect_bundle(folder, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["weights"]["unet"] == [unet.name]
    assert found["not_read"] == ["unet/diffusion_pytorch_model.fp16.safetensors"]
    inspect_bundle(folder, variant="fp16")
    assert "variant fp16; plain weights of vae, text_encoder" in re.sub(r"[\s│]+", " ", capsys.readouterr().out)


def test_a_single_file_is_shown_and_built_with_an_adapter(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(base, tmp_path / "derm.safetensors")
    inspect_bundle(path, parts_from=str(base), json=True)
    source = json.loads(capsys.readouterr().out)["facts"]["source"]
    assert (source["file"], source["lent"]) == ("derm.safetensors", ["tokenizer"])
    lora = kohya_file(StableDiffusionPipeline.from_pretrained(base, safety_checker=None), tmp_path / "l.safetensors", 3)
    out = tmp_path / "bundle"
    build_engine(str(path), out, [str(lora)], parts_from=str(base), backend="torch", rows=4, prompt=["a"])
    spec = read_bundle(out).manifest.spec
    assert spec.source is not None
    assert spec.source.sha256 == source["sha256"]
    assert [one.file for one in spec.adapters] == ["l.safetensors"]
    capsys.readouterr()
    inspect_bundle(out)
    assert "derm.safetensors" in capsys.readouterr().out
    with pytest.raises(UserError, match="is no model"):
        inspect_bundle(out, variant="fp16")
