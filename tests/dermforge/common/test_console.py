"""What commands print: whole lines, a user's words as they are, JSON for any parser, progress without a terminal."""

from __future__ import annotations

import ast
import errno
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from dermforge.common import console
from dermforge.common.errors import Stopped, UserError


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the command prints to either stream; neither is a terminal."""
    file = io.StringIO()
    for name in ("out", "err"):
        monkeypatch.setattr(console, name, console.new_console(file=file, width=80))
    return file


def test_a_line_stays_whole_and_its_brackets_are_no_markup(printed: io.StringIO) -> None:
    """Rich breaks lines at 80 columns in a pipe, and takes [...] in a file's name for a style."""
    line = "images of [red]/runs[/red]: " + ", ".join(f"{n / 7:.3f}" for n in range(40))
    console.say(line)
    assert printed.getvalue() == line + "\n"


NAMES = st.text(st.sampled_from("[]/\\:a#=bold red "), min_size=1, max_size=20).map(str.strip).filter(bool)


@given(name=NAMES | st.sampled_from(["[red]I[/blue]", "[other]", "[/]", ":warning:", "[link=x]y", "\\[a]", "[1]"]))
def test_a_users_word_is_printed_as_it_is_everywhere(name: str) -> None:
    """A group called [red]I[/blue] ended a command with rich's own traceback, and [other] vanished."""
    file = io.StringIO()
    printer = console.new_console(file=file, width=200)
    table = Table(title=name)
    table.add_column(name)
    table.add_row(name)
    printer.print(table)
    printer.print(name, soft_wrap=True)
    lines = [line.strip() for line in file.getvalue().splitlines()]
    assert (lines[0], lines[-1]) == (name, name)
    assert sum(name in line for line in lines) == 4


def test_no_command_makes_a_console_of_its_own_or_escapes() -> None:
    """The two consoles print texts as they are: another one would not, and a backslash too many would be seen."""
    root = Path(__file__).parents[3]
    wrong = []
    for package in ("dermforge", "engines", "gen", "shards", "evalsuite", "bench"):
        for file in (root / package).rglob("*.py"):
            imported = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ImportFrom)]
            modules = {n.module for n in imported}
            own = "rich.console" in modules and file.name != "console.py"
            wrong += [str(file)] if own or "rich.markup" in modules else []
    assert not wrong


def test_json_has_null_for_nan(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"b": float("nan"), "a": (1.5, [float("nan")])})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": [1.5, [None]], "b": None}
    assert text.index('"a"') < text.index('"b"')


def test_progress_without_a_terminal_is_whole_lines(printed: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMFORGE_PROGRESS_INTERVAL", "0")
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
    monkeypatch.setenv("DERMFORGE_PROGRESS_INTERVAL", "0")
    monkeypatch.setattr(console, "err", console.new_console(stderr=True))
    assert list(console.track([1, 2], "reading", None)) == [1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("reading: 2 (")
    assert "left" not in lines[-1]


@pytest.mark.parametrize("terminal", [True, False])
def test_no_text_gives_commands_to_the_terminal(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clearing the screen, a title, colours, text turned around: in a line, a styled text and a cell of a table."""
    text = "a\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\u202ez"
    file = io.StringIO()
    own = console.new_console(file=file, width=200)
    monkeypatch.setattr(own, "_force_terminal", terminal)
    table = Table(text)
    table.add_row(text)
    for shown in (text, Text.assemble(("warning", "red"), text), table):
        own.print(shown)
    seen = re.sub("\x1b\\[[0-9;]*m", "", file.getvalue())  # rich's own colours
    assert not re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", seen)
    assert seen.count("title") == 4


@pytest.mark.parametrize(
    ("error", "becomes", "said"),
    [
        (KeyboardInterrupt(), Stopped, "it is kept in x"),
        (
            OSError(errno.ENOSPC, "No space left on device", "f"),
            UserError,
            "No space left on device (f); it is kept in x",
        ),
        (RuntimeError("I/O error: No space left on device (os error 28)"), UserError, "no file named"),
        (OSError(errno.EACCES, "Permission denied", "f"), PermissionError, "Permission denied"),
        (ValueError("three"), ValueError, "three"),
    ],
)
def test_a_command_that_does_not_resume_says_what_it_leaves(
    error: BaseException, becomes: type[BaseException], said: str
) -> None:
    """Nobody is told to run it again, neither after an interruption nor on a full disk."""
    with pytest.raises(becomes, match=re.escape(said)), console.without_resuming("it is kept in x"):
        raise error
