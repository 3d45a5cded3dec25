"""`bench compare`: a benchmark that is missing on one side is named."""

from __future__ import annotations

from pathlib import Path

import torch
from typer.testing import CliRunner

from bench.cli import PROGRAM
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord, Measurement, save


def test_a_benchmark_that_left_no_result_is_named(tmp_path: Path) -> None:
    """Else a crash in one of them would pass for no change; what did not change takes a line and no empty table."""
    rate = Measurement(name="m", unit="x", better="higher", samples=[1.0, 1.01, 0.99, 1.02])
    rates = BenchmarkRecord(command="engine", facts=describe(torch.device("cpu")), measurements=[rate])
    for folder, commands in (("before", ("engine", "paper")), ("after", ("engine", "shards"))):
        for command in commands:
            save(rates.model_copy(update={"command": command}), tmp_path / folder)
    result = CliRunner().invoke(
        PROGRAM.app(), ["compare", str(tmp_path / "before"), str(tmp_path / "after")], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert result.stdout == "engine: 1 of 1 are the same, 0 have too few samples to tell\n"
    assert f"only in {tmp_path / 'before'}, so not compared: paper" in result.stderr
    assert f"only in {tmp_path / 'after'}, so not compared: shards" in result.stderr
