"""`gen inspect` says what a model is before anything is built of it; `gen build-engine` builds of the same."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from adapters_helpers import kohya_file
from command_helpers import call
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
    with pytest.raises(UserError, match="is no model but an engine bundle"):
        inspect_bundle(out, variant="fp16")


def test_what_is_no_model_and_no_bundle_is_said_to_be_neither(base: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, said in (
        (tmp_path / "such.safetensors", "is not there"),
        (tmp_path / "folder", "has neither bundle.json"),
    ):
        for parts in (None, str(base)):
            with pytest.raises(UserError, match=rf"{path.name} {said}.*bundle.*pipeline folder.*\.safetensors file"):
                inspect_bundle(path, parts_from=parts)
    with pytest.raises(UserError, match=r"there is no file nothing/such\.safetensors"):
        build_engine("nothing/such.safetensors", tmp_path / "bundle")


@pytest.mark.parametrize(("solver", "steps"), [("nope", 4), ("lcm", 5000)])
def test_a_student_that_cannot_be_drawn_is_refused_before_it_is_built(
    base: Path, solver: str, steps: int, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "student"))
    few = {"solver": solver, "steps": steps, "guidance": 1.0}
    (folder / "dermforge.json").write_text(json.dumps({"few_steps": few}))
    with pytest.raises(UserError, match=rf"few_steps in its dermforge.json.* '{solver}' in {steps} steps: .*expected"):
        inspect_bundle(folder)
    with pytest.raises(UserError, match=rf"few_steps in its dermforge.json.* '{solver}' in {steps} steps: .*expected"):
        build_engine(str(folder), tmp_path / "bundle", backend="torch", rows=4)
    assert not (tmp_path / "bundle").exists()


def test_a_model_without_a_record_of_its_images_says_so(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect_bundle(base)
    assert re.search(r"lineage\W+none recorded", capsys.readouterr().out)


def test_what_a_message_asks_for_is_the_option(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = checkpoint(base, tmp_path / "unet.safetensors", without=("vae",))
    assert call(f"gen inspect {path}") == 2
    assert "--parts-from" in capsys.readouterr().err
    assert call(f"gen build-engine --model {base} --prediction-type v --out {tmp_path / 'bundle'}") == 2
    assert capsys.readouterr().err.startswith("error: --prediction-type is 'v'; expected one of")


def test_facts_that_are_damaged_are_named_without_a_link(base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "model"))
    (folder / "dermforge.json").write_text(json.dumps({"few_steps": {"solver": 3, "steps": 0}}))
    with pytest.raises(UserError, match="not usable: few_steps") as refused:
        inspect_bundle(folder)
    assert "http" not in str(refused.value)
