"""`bench all`: what fails is named and leaves the rest alone; what works leaves its record."""

from __future__ import annotations

from pathlib import Path

from bench.measure.record import records
from bench.suites.run_all import run


def test_a_part_that_fails_says_its_last_line(tmp_path: Path) -> None:
    """A process of its own: its mistake comes back as a line, not as a crash."""
    said: list[str] = []
    error = run("engine", ["--model", "nowhere"], tmp_path, said.append)
    assert error is not None
    assert "no pipeline folder at nowhere" in error
    assert error == said[-1].strip()
    assert not list(tmp_path.glob("*.json"))


def test_a_part_that_works_leaves_its_record(tmp_path: Path) -> None:
    """The result lies in the folder as JSON."""
    assert run("roofline", ["--side", "64", "--repeats", "1", "--precision", "fp32"], tmp_path, print) is None
    assert [r.command for r in records(tmp_path)] == ["roofline"]
