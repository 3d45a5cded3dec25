"""`bench all`: which engines it measures on a GPU, and every part at tiny sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import PROGRAM
from bench.commands.all import EngineChoice
from bench.suites.run_all import PARTS
from dermforge.common.errors import UserError


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


def test_a_short_run_compiles_little(tmp_path: Path) -> None:
    """One number of rows instead of a sweep, kernels by rule instead of by timing; a mode only where torch is."""
    chosen = EngineChoice("sd15", ["tensorrt", "torch"], ["fp16"], tmp_path, 50, 32, "default").options(1, quick=False)
    words = {name: " ".join(options) for name, options in chosen.items()}
    assert "--bundle-rows 32" in words["engine"]
    assert "--compile default" in words["engine"]
    assert words["engine"].count("--rows 32") == 1
    for name in ("sample", "paper"):
        assert "--bundle-rows 32 --backend tensorrt" in words[name]
        assert "--compile" not in words[name]
    quick = EngineChoice("sd15", ["torch"], ["fp16"], tmp_path, 50).options(1, quick=True)
    assert all("--bundle-rows 4" in " ".join(quick[name]) for name in ("engine", "sample", "paper"))
    assert " --rows 4" in " ".join(quick["engine"])


def test_a_mode_that_nothing_would_use_is_refused(tmp_path: Path) -> None:
    """`bench all` without torch on CUDA, before anything is measured."""
    words = ["all", "--out", str(tmp_path / "out"), "--backend", "onnxruntime", "--compile", "default"]
    result = CliRunner().invoke(PROGRAM.app(), words)
    assert isinstance(result.exception, UserError)
    assert "--compile is for the backend torch on CUDA" in str(result.exception)
    assert not (tmp_path / "out").exists()


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
