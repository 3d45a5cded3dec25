"""What commands print: whole lines, and a user's words as they are."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dermforge.common import console


def test_a_line_stays_whole_and_its_brackets_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich breaks lines at 80 columns in a pipe, and takes [...] in a file's name for a style."""
    file = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=file, width=80, highlight=False))
    line = "images of [red]/runs[/red]: " + ", ".join(f"{n / 7:.3f}" for n in range(40))
    console.say(line)
    assert file.getvalue() == line + "\n"
