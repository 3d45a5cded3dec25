"""`gen pull` from a server of the hub's protocol, by the hub's own library."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from command_helpers import call
from hub_state import Hub, digests
from tuned_helpers import tuned

import engines
from dermforge.common.sealed_file import sealed_json

ADDRESS = "hf://me/lesions-sd"


@pytest.fixture
def pipeline(pipelines: dict[str, Path], hub: Hub, tmp_path: Path) -> Path:
    """A tuned pipeline that is on the hub."""
    folder = tuned(pipelines["text"], tmp_path / "tuned")
    assert call(f"gen push {folder} {ADDRESS} --licence mit") == 0
    return folder


@pytest.fixture
def bundle(bundles: dict[str, Path], hub: Hub) -> Path:
    """A bundle that is on the hub."""
    assert call(f"gen push {bundles['text']} {ADDRESS} --licence mit --publish-real-ids") == 0
    return bundles["text"]


def resealed(content: bytes, change: dict[str, str]) -> bytes:
    """A record with other words, and the digest that goes with them: its author means it so."""
    value: Any = json.loads(content)
    value.pop("sha256")
    text = json.dumps(value, indent=1)
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    return sealed_json(text)


def test_a_pipeline_comes_back_as_it_went(pipeline: Path, tmp_path: Path) -> None:
    assert call(f"gen pull {ADDRESS} {tmp_path / 'back'}") == 0
    assert digests(tmp_path / "back") == digests(pipeline)
    assert call(f"gen inspect {tmp_path / 'back'}") == 0


def test_a_bundle_comes_back_as_it_went(bundle: Path, tmp_path: Path) -> None:
    """With its certificate, and nothing beside it that its manifest does not list."""
    assert call(f"gen pull {ADDRESS} {tmp_path / 'back'}") == 0
    assert digests(tmp_path / "back") == digests(bundle)
    assert engines.load(tmp_path / "back", device="cpu").spec == engines.read_bundle(bundle).manifest.spec


@pytest.mark.parametrize("end", [".safetensors", "config.json", "dermforge.json"])
def test_a_changed_file_of_a_pipeline_is_refused(
    end: str, pipeline: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = hub.model("me/lesions-sd")
    name = next(name for name in sorted(repo.files) if name.endswith(end))
    repo.change(**{name: repo.files[name].replace(b"e", b"f", 1)})
    assert call(f"gen pull {ADDRESS} {tmp_path / 'back'}") in (1, 2)
    assert name in capsys.readouterr().err
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("name", ["unet/config.json", "parity.json", "bundle.json"])
def test_a_changed_or_lost_file_of_a_bundle_is_refused(
    name: str, bundle: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = hub.model("me/lesions-sd")
    content = repo.files[name]
    repo.change(**{name: content.replace(b"e", b"f", 1)})
    assert call(f"gen pull {ADDRESS} {tmp_path / 'back'}") in (1, 2)
    assert name in capsys.readouterr().err
    repo.change(**{name: None})
    assert call(f"gen pull {ADDRESS} {tmp_path / 'back'}") in (1, 2)
    assert not (tmp_path / "back").exists()


def test_pickles_and_code_are_not_fetched(
    pipeline: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = ["unet/diffusion_pytorch_model.bin", "unet/evil.py", "pipeline.py", "training/state.pt"]
    hub.model("me/lesions-sd").change(**dict.fromkeys(strange, b"evil"))
    capsys.readouterr()
    assert call(f"gen pull {ADDRESS} {tmp_path / 'back'} --json") == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == sorted(strange)
    assert not [path for _, path in hub.requests if "/resolve/" in path and path.endswith((".py", ".bin", ".pt"))]


def test_code_that_a_record_names_is_refused(
    bundle: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever writes the record can give the digest of anything."""
    repo = hub.model("me/lesions-sd")
    before, old = repo.files["bundle.json"], "scheduler/scheduler_config.json"
    for name in ("unet/rows.so", "plans/a/unet.plan", "unet/rows.bin", "unet/run.py", "unet/.hidden.json"):
        repo.change(**{"bundle.json": resealed(before, {old: name}), name: b"evil"})
        assert call(f"gen pull {ADDRESS} {tmp_path / 'back'}") == 2
        assert name in capsys.readouterr().err
    repo.change(**{"bundle.json": resealed(before, {old: "../../config.json"})})
    assert call(f"gen pull {ADDRESS} {tmp_path / 'back'}") == 2
    assert not (tmp_path / "back").exists()
    assert not [path for _, path in hub.requests if "/resolve/" in path and "evil" in path]


def test_another_pipeline_of_the_hub_is_read_by_its_id(
    pipeline: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that nobody digested."""
    hub.model("me/lesions-sd").change(**{"dermforge.json": None})
    assert call(f"gen pull {ADDRESS} {tmp_path / 'back'}") == 2
    assert "--model OWNER/NAME" in capsys.readouterr().err


def test_the_digests_of_the_record_are_those_of_the_files(pipeline: Path, hub: Hub) -> None:
    files = hub.model("me/lesions-sd").files
    for name, sha256 in json.loads(files["dermforge.json"])["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == sha256
