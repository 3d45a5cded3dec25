"""What commands print: whole lines, a user's words as they are, JSON for any parser, progress without a terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from dermforge.common import console


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the command prints to either stream; neither is a terminal."""
    file = io.StringIO()
    for name in ("out", "err"):
        monkeypatch.setattr(console, name, Console(file=file, width=80, highlight=False))
    return file


def test_a_line_stays_whole_and_its_brackets_are_no_markup(printed: io.StringIO) -> None:
    """Rich breaks lines at 80 columns in a pipe, and takes [...] in a file's name for a style."""
    line = "images of [red]/runs[/red]: " + ", ".join(f"{n / 7:.3f}" for n in range(40))
    console.say(line)
    assert printed.getvalue() == line + "\n"


def test_json_has_null_for_nan(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"b": float("nan"), "a": (1.5, [float("nan")])})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": [1.5, [None]], "b": None}
    assert text.index('"a"') < text.index('"b"')


def test_progress_without_a_terminal_is_whole_lines(printed: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console._Lines, "INTERVAL_S", 0.0)
    assert list(console.track("abc", "read [x]", 3, "letters")) == ["a", "b", "c"]
    lines = printed.getvalue().splitlines()
    assert [line.partition(" (")[0] for line in lines] == [f"read [x]: {n}/3" for n in (1, 2, 3)]
    assert all("letters/s" in line and "s left)" in line for line in lines)


@pytest.mark.parametrize(
    ("done", "seconds", "unit", "text"),
    [
        (30, 10, "images", "3.0 images/s"),
        (1, 25, "images", "25.0 s per image"),
        (1, 1000, "steps", "1000.0 s per step"),
        (0, 5, "images", "0.0 images/s"),
    ],
)
def test_a_slow_rate_is_a_time_for_each(done: int, seconds: float, unit: str, text: str) -> None:
    assert console.rate_text(done, seconds, unit) == text


def test_progress_without_a_total(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody knows how many there are, the line counts and says no remaining time."""
    monkeypatch.setattr(console._Lines, "INTERVAL_S", 0)
    monkeypatch.setattr(console, "err", Console(stderr=True, highlight=False, force_terminal=False))
    assert list(console.track([1, 2], "reading", None)) == [1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("reading: 2 (")
    assert "left" not in lines[-1]
