"""`bench all`: which engines it measures on a GPU, and every part at tiny sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import PROGRAM
from bench.commands.all import EngineChoice
from bench.suites.run_all import PARTS


def test_on_a_gpu_the_suite_measures_both_half_precisions(tmp_path: Path, random_pipeline: Path) -> None:
    """One record holds fp16 and bf16 of every backend, at the paper's 50 steps; the rest uses the first of them."""
    chosen = EngineChoice(str(random_pipeline), ["torch", "tensorrt"], ["fp16", "bf16"], tmp_path, 50)
    options = chosen.options(5, quick=False)
    words = " ".join(options["engine"])
    assert "--backend torch --backend tensorrt --precision fp16 --precision bf16 --steps 50" in words
    assert (
        options["sample"]
        == options["paper"]
        == [
            "--model",
            str(random_pipeline),
            "--work",
            str(tmp_path),
            "--backend",
            "torch",
            "--precision",
            "fp16",
            "--repeats",
            "5",
        ]
    )
    assert all(words[-2:] == ["--repeats", "5"] for words in options.values())


@pytest.mark.slow
def test_everything_runs_at_tiny_sizes(tmp_path: Path, random_pipeline: Path) -> None:
    """`bench all --quick` from end to end: the command for a new machine."""
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
