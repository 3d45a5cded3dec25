"""`gen inspect`: a bundle's contents as a table and as JSON; a failed certificate is exit status 1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dermforge.common.errors import CheckFailed
from engines import read_bundle
from engines.bundle import write_record
from engines.certificate import read_certificate
from engines.manifest import PARITY
from gen.commands.inspect_bundle import inspect_bundle


def mark(bundle: Path, copy: Path, passed: bool) -> Path:
    """A copy of a bundle whose certificate says so."""
    shutil.copytree(bundle, copy)
    return certify(copy, {"passed": passed, "failures": [] if passed else ["too far off"]})


def certify(bundle: Path, changes: dict[str, object]) -> Path:
    """Write a bundle's certificate with other values."""
    there = read_bundle(bundle)
    write_record(there, PARITY, read_certificate(there).model_copy(update=changes))
    return bundle


def test_the_tables_name_the_parts(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inspect_bundle(mark(bundles["text"], tmp_path / "bundle", passed=True))
    shown = capsys.readouterr().out
    for words in ("8 rows a denoiser call", "vae_decoder", "worst PSNR", "all as recorded"):
        assert words in shown


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            {"scheduler": "DDIMScheduler", "own_steps": True},
            "by its DDIMScheduler; the engine's were drawn by the steps",
        ),
        ({"scheduler": "PNDMScheduler", "own_steps": False}, "PNDMScheduler, whose steps gen sample does not have"),
        ({"scheduler": None}, "of a former version"),
    ],
)
def test_it_says_whose_steps_drew_the_images(
    record: dict[str, object], said: str, bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = mark(bundles["text"], tmp_path / "bundle", passed=True)
    inspect_bundle(certify(bundle, record))
    assert said in capsys.readouterr().out


def test_json_has_the_keys_of_the_files(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = mark(bundles["text"], tmp_path / "bundle", passed=True)
    inspect_bundle(bundle, json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["digest"] == read_bundle(bundle).digest
    assert shown["facts"]["size"] == 64
    assert shown["parity"]["covers_plans"] is True


def test_a_failed_certificate_is_a_failed_check(bundles: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="failed its parity certificate: too far off"):
        inspect_bundle(mark(bundles["text"], tmp_path / "bundle", passed=False))
