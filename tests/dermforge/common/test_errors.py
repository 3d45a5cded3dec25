"""Errors that a user can cause are ValueErrors for Python, and one line with an exit status for the shell."""

from __future__ import annotations

import errno
import sys

import pytest

from dermforge.common import console
from dermforge.common.errors import CheckFailed, UserError, first_line, system_error
from engines.errors import EngineError, ParityError


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [
        (UserError, 2, "error:"),
        (EngineError, 2, "error:"),
        (ParityError, 2, "error:"),
        (CheckFailed, 1, "check failed:"),
    ],
)
def test_each_kind_is_a_value_error_and_has_its_exit_status(
    kind: type[Exception], status: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert issubclass(kind, ValueError)
    app = console.new_app("a program")

    @app.command()
    def fail() -> None:
        raise kind("[size] is 3; expected 8 or more")

    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(SystemExit) as stop:
        console.run(app)
    assert stop.value.code == status
    assert capsys.readouterr().err == f"{word} [size] is 3; expected 8 or more\n"


def test_any_other_value_error_is_a_bug_and_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    app = console.new_app("a program")

    @app.command()
    def fail() -> None:
        int("three")

    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(ValueError, match="invalid literal"):
        console.run(app)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one\ntwo"), "one"),
        (ConnectionError(), "ConnectionError"),  # as Ray 2.52 raises it
        (ConnectionError(" \n"), "ConnectionError"),
    ],
)
def test_a_library_that_says_nothing_is_named_by_its_error(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_an_error_of_the_system_is_known_in_a_library_s_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As safetensors and torch say it; another number in brackets is none."""
    full = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    files = RuntimeError("unable to open file <a.safetensors> in read-only mode: Too many open files (24)")
    assert [getattr(system_error(error), "errno", None) for error in (full, files)] == [errno.ENOSPC, errno.EMFILE]
    assert system_error(RuntimeError("a tensor of shape (24)")) is None
    assert system_error(PermissionError(13, "no")) is not None
    app = console.new_app("a program")

    @app.command()
    def fail() -> None:
        raise full

    monkeypatch.setattr(sys, "argv", ["fail"])
    with pytest.raises(SystemExit) as stop:
        console.run(app)
    assert stop.value.code == 2
    assert "No space left on device: free some space" in " ".join(capsys.readouterr().err.split())
