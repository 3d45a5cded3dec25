"""`bench engine`: every number that it promises is in the table and in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import PROGRAM
from bench.measure import plots
from bench.measure.record import load


def test_the_command_measures_everything_that_it_promises(bundle: Path, random_pipeline: Path, tmp_path: Path) -> None:
    """Components, rows, whole images, peers, shares of the ceiling and the speed-up, in the table and in the file."""
    options = [
        "--model",
        str(random_pipeline),
        "--device",
        "cpu",
        "--images",
        "2",
        "--steps",
        "2",
        "--rows",
        "2",
        "--peer",
        "diffusers",
        "--peer-batch",
        "2",
        "--repeats",
        "1",
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(PROGRAM.app(), ["engine", str(bundle), *options], catch_exceptions=False)
    assert result.exit_code == 0
    record = load(tmp_path / "engine.json")
    names = {m.name for m in record.measurements}
    assert {f"component/bundle/{part}" for part in ("text_encoder", "unet", "vae_decoder", "vae_encoder")} <= names
    assert {
        "matmul/fp32",
        "copy",
        "rows/bundle/0002",
        "whole/ours/bundle",
        "whole/diffusers/batch 2",
        "speedup/over diffusers",
    } <= names
    for m in (*record.starting("component/"), *record.starting("whole/")):
        assert 0 < float(m.details["share"] or 0) < 2, m
    ours, theirs = record.get("whole/ours/bundle"), record.get("whole/diffusers/batch 2")
    assert ours is not None
    assert theirs is not None
    assert record.get("speedup/over diffusers").median == pytest.approx(ours.median / theirs.median)  # type: ignore[union-attr]
    written = plots.write([record], tmp_path)
    assert {p.name for p in written} == {"rows.svg", "ceiling.svg", "whole.svg"}
    assert all(p.read_text(encoding="utf-8").lstrip().startswith("<?xml") for p in written)
