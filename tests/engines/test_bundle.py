"""A bundle is whole, or is not there; a file that was altered is never opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from engines import Bundle, load, read_bundle
from engines.bundle import MANIFEST, Artefact, bundle_folder
from engines.errors import EngineError


def test_every_file_is_recorded_and_whole(bundle: Bundle) -> None:
    bundle.verify()
    recorded = {a.path for a in bundle.manifest.artefacts}
    measured = {"bundle.json", "parity.json", "timings.json"}
    there = {p.relative_to(bundle.folder).as_posix() for p in bundle.folder.rglob("*") if p.is_file()}
    assert there - measured == recorded


@pytest.mark.parametrize("name", ["unet/rows.onnx", "unet/model.onnx.data", "vae_decoder/images.onnx"])
def test_a_truncated_file_is_refused_before_it_is_opened(copied: Bundle, name: str) -> None:
    path = copied.folder / name
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(EngineError, match=rf"{name}.*truncated or altered"):
        load(copied.folder)


def test_an_altered_file_of_equal_length_is_refused(copied: Bundle) -> None:
    path = copied.folder / "unet" / "rows.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(EngineError, match="was altered"):
        load(copied.folder)


def test_a_missing_file_is_named(copied: Bundle) -> None:
    (copied.folder / "unet" / "rows.onnx").unlink()
    with pytest.raises(EngineError, match=r"rows\.onnx is missing"):
        load(copied.folder)


def test_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no engine bundle at .*gen build-engine"):
        load(tmp_path)


def test_a_manifest_of_another_schema_is_refused(copied: Bundle) -> None:
    path = copied.folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 2}))
    with pytest.raises(EngineError, match="not a manifest of schema 1"):
        read_bundle(copied.folder)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "unet/../../x"])
def test_a_manifest_cannot_name_files_outside_its_folder(path: str) -> None:
    with pytest.raises(ValidationError, match="lies outside the bundle"):
        Artefact(path=path, sha256="", bytes=0, kind="graph")


def test_nothing_is_left_of_a_folder_that_was_not_finished(tmp_path: Path) -> None:
    def write() -> None:
        with bundle_folder(tmp_path / "out") as partial:
            (partial / "half").write_text("")
            raise EngineError("no")

    with pytest.raises(EngineError, match="no"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(EngineError, match="is not an engine bundle"), bundle_folder(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_bundle_is_replaced_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with bundle_folder(tmp_path / "out") as partial:
            (partial / MANIFEST).write_text(text)
    assert (tmp_path / "out" / MANIFEST).read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
