"""`bench all`: what fails is named and leaves the rest alone; printed numbers become measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.record import records
from bench.suite import from_documents, run


def test_numbers_of_documents_become_samples() -> None:
    """One sample a run for every number that all runs have; list items are known by their name."""
    documents = [
        {"rate": rate, "ok": True, "text": "x", "models": [{"model": "a", "bare": 2 * rate}], "list": [1.0, 2.0]}
        for rate in (1.0, 3.0)
    ]
    documents[1]["extra"] = 5.0
    found = {m.name: m.samples for m in from_documents(documents)}
    assert found == {"rate": [1.0, 3.0], "models/a/bare": [2.0, 6.0], "list/0": [1.0, 1.0], "list/1": [2.0, 2.0]}


def test_a_part_that_fails_says_its_last_line(tmp_path: Path) -> None:
    """A process of its own: its mistake comes back as a line, not as a crash."""
    part = run("engine", ["--model", "nowhere"], tmp_path, 1)
    assert part.error is not None
    assert "no pipeline folder at nowhere" in part.error
    assert not list(tmp_path.glob("*.json"))


def test_a_part_that_works_leaves_its_record(tmp_path: Path) -> None:
    """The result lies in the folder as JSON."""
    part = run("roofline", ["--side", "64", "--repeats", "1", "--precision", "fp32"], tmp_path, 1)
    assert part.error is None
    assert [r.command for r in records(tmp_path)] == ["roofline"]


@pytest.mark.slow
def test_everything_runs_at_tiny_sizes(tmp_path: Path, random_pipeline: Path) -> None:
    """`bench all --quick` from end to end: the command for a new machine."""
    from typer.testing import CliRunner

    from bench.cli import app

    options = ["--quick", "--out", str(tmp_path / "results"), "--work", str(tmp_path / "work"), "--model",
               str(random_pipeline), "--backend", "torch"]
    result = CliRunner().invoke(app, ["all", *options], catch_exceptions=False)
    assert result.exit_code == 0
    names = {p.name for p in (tmp_path / "results").iterdir()}
    assert {"engine.json", "paper.json", "roofline.json", "sample.json", "shards.json", "train.json",
            "study.json"} <= names
