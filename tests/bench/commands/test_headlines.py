"""`bench headlines`: the end of `make demo` says where things are and what came out, or what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import PROGRAM
from dermforge.common.errors import UserError

HEAD = {
    "real": {"accuracy": 0.7, "low": 0.65, "high": 0.75},
    "mix": {"accuracy": 0.8, "low": 0.76, "high": 0.84},
    "worst_group": {"mix": {"group": "dark", "accuracy": 0.5, "low": 0.4, "high": 0.6}},
}


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    (tmp_path / "report").mkdir()
    (tmp_path / "shards").mkdir()
    (tmp_path / "report" / "report.html").touch()
    (tmp_path / "shards" / "sheet.png").touch()
    (tmp_path / "sample.json").write_text(json.dumps({"images_per_second": 11.04}))
    (tmp_path / "report" / "run.json").write_text(json.dumps({"headline": HEAD}))
    return tmp_path


def said(demo: Path) -> str:
    return CliRunner().invoke(PROGRAM.app(), ["headlines", str(demo)], catch_exceptions=False).stdout


def test_results_stand_with_their_intervals(demo: Path) -> None:
    """Which number is whose: real images only, with synthetic ones, and the group served worst."""
    lines = said(demo).splitlines()
    assert f"report: {demo / 'report' / 'report.html'}" in lines
    assert "sampling: 11.0 images per second" in lines
    assert "accuracy, real images only: 0.700 (95% interval 0.650 to 0.750)" in lines
    assert "accuracy, real and synthetic: 0.800 (95% interval 0.760 to 0.840)" in lines
    assert lines[-1].endswith("dark, accuracy 0.500 (95% interval 0.400 to 0.600)")


def test_what_was_not_measured_has_no_number(demo: Path) -> None:
    """A demo that was finished before samples nothing; groups can be too small for a number."""
    (demo / "sample.json").write_text(json.dumps({"images_per_second": None}))
    (demo / "report" / "run.json").write_text(json.dumps({"headline": {**HEAD, "worst_group": {"mix": None}}}))
    assert "none were sampled now" in said(demo)
    assert said(demo).rstrip().endswith("not enough data")


@pytest.mark.parametrize("missing", ["sample.json", "report/run.json", "report/report.html", "shards/sheet.png"])
def test_a_missing_part_is_named(demo: Path, missing: str) -> None:
    """With the command that makes it."""
    (demo / missing).unlink()
    result = CliRunner().invoke(PROGRAM.app(), ["headlines", str(demo)])
    assert isinstance(result.exception, UserError)
    assert missing in str(result.exception)
    assert "make demo" in str(result.exception)
