"""`gen push` to a server of the hub's protocol, by the hub's own library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_helpers import call
from hub_state import Hub
from huggingface_hub import ModelCard
from tuned_helpers import tuned

TO = "hf://me/lesions-sd"
LICENCE = "--licence creativeml-openrail-m"


def test_a_pipeline_is_sent_with_a_card(pipelines: dict[str, Path], hub: Hub, tmp_path: Path) -> None:
    """Private, with what its record names; logs of the tuning and pickles stay here. The second push sends nothing."""
    folder = tuned(pipelines["text"], tmp_path / "tuned", classes=["plaque", "<b>|x"])
    (folder / "training").mkdir()
    (folder / "training" / "log.csv").write_text("loss\n")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (folder / "LICENSE.txt").write_text("OpenRAIL")
    assert call(f"gen push {folder} {TO} {LICENCE}") == 0
    repo, received = hub.model("me/lesions-sd"), dict(hub.received)
    assert repo.private
    recorded = json.loads((folder / "dermforge.json").read_text())["files"]
    assert set(repo.files) == {*recorded, "dermforge.json", "LICENSE.txt", "README.md", ".gitattributes"}
    text = repo.files["README.md"].decode()
    card = ModelCard(text).data.to_dict()
    assert (card["license"], card["library_name"]) == ("creativeml-openrail-m", "diffusers")
    assert "Tuned on 2 real images of patients" in text
    assert "## Limits" in text
    assert "&lt;b&gt;\\|x" in text
    assert call(f"gen push {folder} {TO} {LICENCE}") == 0
    assert hub.received == received


def test_a_bundle_is_sent_with_its_certificates(
    bundles: dict[str, Path], hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundles["text"]
    assert call(f"gen push {bundle} {TO} --licence mit --publish-real-ids --json") == 0
    done = json.loads(capsys.readouterr().out)
    files = hub.model("me/lesions-sd").files
    assert {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()} <= set(files)
    assert done["files"] == len(files) - 1
    text = files["README.md"].decode()
    assert "compared with the pipeline's own images in float32" in text
    assert "Use (`evalsuite use`): none." in text


@pytest.mark.parametrize("lineage", [["miller-1970-arm"], ["x0123456789abcdef01234567", "miller-[01-20]-arm"]])
def test_a_lineage_in_clear_needs_a_word(
    lineage: list[str], pipelines: dict[str, Path], hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That somebody's photograph is among those of a disease is a fact of their health."""
    folder = tuned(pipelines["text"], tmp_path / "tuned", lineage)
    assert call(f"gen push {folder} {TO} {LICENCE}") == 2
    err = capsys.readouterr().err
    assert "miller" in err
    assert "--hash-ids" in err
    assert "--publish-real-ids" in err
    assert not hub.requests
    assert call(f"gen push {folder} {TO} {LICENCE} --publish-real-ids") == 0


def test_phantoms_and_unrecorded_images_name_nobody(pipelines: dict[str, Path], hub: Hub, tmp_path: Path) -> None:
    lineage = ["phantom-[0000000000-0000000009]-plaque-tan", "unrecorded: adapter.safetensors"]
    folder = tuned(pipelines["text"], tmp_path / "tuned", lineage, phantom=True)
    assert call(f"gen push {folder} {TO} {LICENCE}") == 0
    text = hub.model("me/lesions-sd").files["README.md"].decode()
    assert "It draws phantoms" in text
    assert "of patients" not in text.partition("## Lineage")[2].partition("## Limits")[0]
    assert "Nobody recorded the training images of adapter.safetensors" in text


def test_what_is_refused(
    pipelines: dict[str, Path], hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No licence, no record, a changed file, code in the record, no model at all; nothing is asked of the hub."""
    folder = tuned(pipelines["text"], tmp_path / "tuned")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    weights = next(other.glob("unet/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code = tuned(pipelines["text"], tmp_path / "code")
    record = (code / "dermforge.json").read_text().replace('"unet/config.json"', '"unet/run.py"')
    (code / "dermforge.json").write_text(record)
    for line, said in (
        (f"{folder} {TO}", "--licence"),
        (f"{folder} hf://datasets/me/a {LICENCE}", "hf://OWNER/NAME"),
        (f"{pipelines['text']} {TO} {LICENCE}", "dermforge.json"),
        (f"{other} {TO} {LICENCE}", "sha256"),
        (f"{code} {TO} {LICENCE}", "damaged"),
        (f"{tmp_path / 'none'} {TO} {LICENCE}", "no folder"),
    ):
        assert call(f"gen push {line}") in (1, 2)
        assert said in capsys.readouterr().err
    assert not hub.requests
