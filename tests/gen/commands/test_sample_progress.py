"""What `gen sample -v` shows: a line for each stage, on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dermforge.common import console
from gen.commands import sample_progress
from gen.sampling.progress import STAGES, StageProgress


@pytest.mark.parametrize("terminal", [True, False])
def test_every_stage_has_its_line(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """Rate and time left of the run, images and busy time of each stage."""
    text = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=text, force_terminal=terminal, width=120))
    monkeypatch.setattr(sample_progress, "INTERVAL_S", 0.0)
    monkeypatch.setenv("DERMFORGE_PROGRESS_INTERVAL", "0")
    with sample_progress.lines(4) as show:
        for n in range(1, 3):
            show([StageProgress(name, n + 1, 0.25) for name in STAGES])
    shown = text.getvalue()
    for name in STAGES:
        assert f"{name}" in shown
    assert shown.count("3 images, busy 25%") >= len(STAGES)
    assert "2/4" in shown
    assert "images/s" in shown
    assert "s left" in shown
