"""A bundle is whole, or is not there; a file that was altered is never opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from dermforge.common.errors import UserError
from engines import Bundle, load, read_bundle
from engines.bundle import MANIFEST, Artefact, claim
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


@pytest.mark.parametrize("digest", ["same", "another"])
def test_a_bundle_is_replaced_by_one_of_the_same_model_or_by_consent(copied: Bundle, digest: str) -> None:
    model = copied.manifest.model_digest if digest == "same" else "f" * 64
    claim(copied.folder, model, overwrite=True)
    if digest == "same":
        claim(copied.folder, model)
    else:
        with pytest.raises(EngineError, match=r"is a bundle of another model.*overwrite"):
            claim(copied.folder, model)


def test_a_bundle_that_cannot_be_read_is_replaced_by_consent_only(copied: Bundle) -> None:
    (copied.folder / MANIFEST).write_text("{}")
    claim(copied.folder, "digest", overwrite=True)
    with pytest.raises(EngineError, match=r"not a manifest.*overwrite"):
        claim(copied.folder, "digest")


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_the_user_are_never_replaced(copied: Bundle, tmp_path: Path, overwrite: bool) -> None:
    (copied.folder / "unet" / "notes.txt").write_text("precious")
    with pytest.raises(EngineError, match=r"holds unet/notes\.txt, which is no part of the bundle"):
        claim(copied.folder, copied.manifest.model_digest, overwrite)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match="is not an engine bundle"):
        claim(tmp_path / "mine", copied.manifest.model_digest, overwrite)
