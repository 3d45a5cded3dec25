"""`bench all`: what fails is named and leaves the rest alone; what works leaves its record."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure.record import records
from bench.suites.run_all import PARTS, run


def test_a_part_that_fails_says_its_last_line(tmp_path: Path) -> None:
    """A process of its own: its mistake comes back as a line, not as a crash."""
    error = run("engine", ["--model", "nowhere"], tmp_path)
    assert error is not None
    assert "no pipeline folder at nowhere" in error
    assert not list(tmp_path.glob("*.json"))


def test_a_part_that_works_leaves_its_record(tmp_path: Path) -> None:
    """The result lies in the folder as JSON."""
    assert run("roofline", ["--side", "64", "--repeats", "1", "--precision", "fp32"], tmp_path) is None
    assert [r.command for r in records(tmp_path)] == ["roofline"]


@pytest.mark.slow
def test_everything_runs_at_tiny_sizes(tmp_path: Path, random_pipeline: Path) -> None:
    """`bench all --quick` from end to end: the command for a new machine."""
    from typer.testing import CliRunner

    from bench.cli import PROGRAM

    options = [
        "--quick",
        "--out",
        str(tmp_path / "results"),
        "--work",
        str(tmp_path / "work"),
        "--model",
        str(random_pipeline),
        "--backend",
        "torch",
    ]
    result = CliRunner().invoke(PROGRAM.app(), ["all", *options], catch_exceptions=False)
    assert result.exit_code == 0
    names = {p.name for p in (tmp_path / "results").iterdir()}
    assert {f"{part}.json" for part in PARTS} <= names
    assert {"rows.svg", "ceiling.svg", "whole.svg", "stages.svg"} <= names
