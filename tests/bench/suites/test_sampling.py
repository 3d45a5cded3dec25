"""`bench sample`: the sampler and plain loops, from the same rows to files; the peer's patches are those named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from typer.testing import CliRunner

import engines
from bench.cli import PROGRAM
from bench.measure.record import load
from bench.peers import draw, synderm
from bench.suites.sampling import Ours, peer
from dermforge.common.errors import UserError
from shards.format.reader import ShardSet

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bundle(random_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sampling") / "bundle"
    engines.build(random_pipeline, out, backend="torch", rows=4, prompts=["An image of a plaque"])
    return out


def test_shards_and_loose_files_hold_the_same_images(bundle: Path, random_pipeline: Path, tmp_path: Path) -> None:
    """Both do the whole job: else the faster one might only have done less."""
    engine = engines.load(bundle, device="cpu")
    job = draw.job(engine.spec, 5, steps=3, guidance=3.0)
    ours = Ours(engine, job, tmp_path / "ours")
    ours()
    peer("diffusers", random_pipeline, job, 2, CPU, "fp32", tmp_path / "theirs")()
    mine = {s.id: pixels for s, pixels in ShardSet.open(tmp_path / "ours").images()}
    theirs = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "theirs").glob("*.png"))]
    assert len(theirs) == len(mine) == 5
    assert draw.agreement(np.stack([mine[row.id] for row in job.rows]), np.stack(theirs)) > 45
    assert ours.summaries[0].forwards_per_image == 6


def test_the_command_measures_speed_rows_waiting_and_memory(
    bundle: Path, random_pipeline: Path, tmp_path: Path
) -> None:
    options = [
        "--bundle",
        str(bundle),
        "--model",
        str(random_pipeline),
        "--images",
        "4",
        "--steps",
        "2",
        "--peer",
        "diffusers",
        "--batch",
        "2",
        "--repeats",
        "1",
        "--peer-precision",
        "bf16",
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(PROGRAM.app(), ["sample", *options], catch_exceptions=False)
    assert result.exit_code == 0
    record = load(tmp_path / "sample.json")
    found = {m.name: m for m in record.measurements}
    assert {
        "sample/ours",
        "sample/ours-interval",
        "sample/diffusers-b2",
        "ours/rows",
        "ours/filled",
        "ours/waiting",
        "ours/peak memory",
        "ours-interval/rows",
        "speedup/diffusers-b2",
    } <= set(found)
    assert found["ours/rows"].median == 4
    assert found["ours-interval/rows"].median <= 4
    assert 0 <= found["ours/waiting"].median < 1
    ratio = found["sample/ours"].median / found["sample/diffusers-b2"].median
    assert found["speedup/diffusers-b2"].median == pytest.approx(ratio)
    assert found["speedup/diffusers-b2"].details["bar"] == 2.0
    assert (record.settings["precision"], record.settings["peers' precision"]) == ("fp32", "bf16")


def test_a_precision_that_no_peer_has_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    result = CliRunner().invoke(PROGRAM.app(), ["sample", "--peer-precision", "int4", "--work", str(tmp_path)])
    assert isinstance(result.exception, UserError)
    assert "unknown --peer-precision 'int4'; expected one of fp32" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_another_model_than_the_bundles_is_refused(bundle: Path) -> None:
    result = CliRunner().invoke(PROGRAM.app(), ["sample", "--bundle", str(bundle), "--peer", "none", "--images", "1"])
    assert isinstance(result.exception, UserError)
    assert "was built from other weights" in str(result.exception)


def test_another_version_of_the_peer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source is patched by its words: one that lacks them would not be what the report says it is."""
    folder = tmp_path / "synderm" / "generation"
    folder.mkdir(parents=True)
    for file in (tmp_path / "synderm" / "__init__.py", folder / "util.py", folder / "generate.py"):
        file.write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(UserError, match=r"not version 0\.1\.4"):
        synderm.loop(None, ["a"], "{}", 1, 3.0, 1, 1)


@pytest.mark.slow
def test_the_published_package_runs_on_this_machine(random_pipeline: Path, tmp_path: Path) -> None:
    """PyPI synderm 0.1.4 with the patches that bench/synderm.py names: an image file for each photo of each class."""
    pytest.importorskip("synderm")
    pipeline = StableDiffusionPipeline.from_pretrained(random_pipeline, safety_checker=None)
    synderm.loop(pipeline, ["plaque", "ulcer"], "An image of {}", 2, 3.0, 2, 3)(tmp_path)
    images = list((tmp_path / "text-to-image").rglob("*.png"))
    assert len(images) == 6
    assert {Image.open(path).size for path in images} == {(64, 64)}
    assert not torch.is_inference_mode_enabled()
