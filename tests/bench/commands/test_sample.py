"""`bench sample`: speed, batch rows, waiting and memory; a wrong peer or model is refused first."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import PROGRAM
from bench.measure.record import load
from dermforge.common.errors import UserError


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
