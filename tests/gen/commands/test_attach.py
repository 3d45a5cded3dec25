"""`gen attach` and what `gen inspect` shows of the certificate of use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from use_helpers import certificate

from dermforge.common.use_certificate import USE
from engines import EngineError, read_bundle
from gen.commands.attach import attach
from gen.commands.inspect_bundle import use_lines


def test_a_certificate_is_attached_to_its_bundle_only(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(bundles["text"], tmp_path / "bundle"))
    file = tmp_path / USE
    file.write_bytes(certificate(bundle=read_bundle(bundle).digest).content())
    attach(bundle, file, json=True)
    assert json.loads(capsys.readouterr().out)["verdict"] == "pass"
    assert (bundle / USE).read_bytes() == file.read_bytes()
    attach(bundle, file)
    assert "1 of 1 rows are within their margins" in capsys.readouterr().out
    file.write_bytes(certificate().content())
    with pytest.raises(EngineError, match="is the certificate of the bundle bbbbbbbbbbbb"):
        attach(bundle, file)


def test_what_inspect_shows() -> None:
    assert "none" in use_lines(None)[0]
    lines = use_lines((certificate(leakage=("7 test images",)), "9" * 64))
    assert lines[0].startswith("Certificate of use (999999999999): pass: 1 of 1 rows")
    assert "student: 9 images of the bundle bbbbbbbbbbbb; guidance 3.0, size 64, solver ddim, steps 4" in lines[1]
    assert "7 test images" in lines[-1]
