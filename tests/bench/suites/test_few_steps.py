"""Few steps: a rate for each number of steps and each decoder, and how much of the time is decoding."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from bench.cli import PROGRAM
from bench.measure.record import load
from bench.suites.few_steps import few_steps
from engines.engine import Engine


def test_each_number_of_steps_has_its_rows(engine: Engine, tmp_path: Path) -> None:
    found = few_steps({"vae": engine, "small": engine}, 4, 1.0, tmp_path, steps=(1, 2), repeats=1)
    assert [m.name for m in found] == ["few-steps/1/vae", "few-steps/1/small", "few-steps/2/vae", "few-steps/2/small"]
    assert [m.details["rows/image"] for m in found] == [1, 1, 2, 2]
    assert all(m.median > 0 and float(m.details["decoding"] or 0) > 0 for m in found)
    guided = few_steps({"vae": engine}, 2, 3.0, tmp_path, steps=(2,), repeats=1)
    assert guided[0].details["rows/image"] == 4


def test_the_command_builds_both_decoders(random_pipeline: Path, tmp_path: Path) -> None:
    options = ["--few-steps", "--model", random_pipeline, "--backend", "torch", "--bundle-rows", 4, "--images", 2]
    options += ["--device", "cpu", "--repeats", 1, "--work", tmp_path / "work", "--out", tmp_path / "results"]
    result = CliRunner().invoke(PROGRAM.app(), ["sample", *map(str, options)], catch_exceptions=False)
    assert result.exit_code == 0
    record = load(tmp_path / "results" / "few-steps.json")
    assert len(record.measurements) == 8
    assert record.settings["decoder"] == "random weights"
