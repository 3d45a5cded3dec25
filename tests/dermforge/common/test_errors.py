"""Errors that a user can cause are ValueErrors for Python, and one line with an exit status for the shell."""

from __future__ import annotations

import ast
import errno
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from dermforge.common import console
from dermforge.common.errors import CheckFailed, UserError, first_fault, first_line, system_error
from engines.checkpoint.folder import one_line
from engines.errors import EngineError, ParityError

ROOT = Path(__file__).resolve().parents[3]


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


class Facts(BaseModel):
    steps: int
    names: list[str]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"steps": "x", "names": []}', "steps: Input should be a valid integer"),
        ('{"steps": 1, "names": ["a", 2]}', "names.1: Input should be a valid string"),
        ("{", "the file: Invalid JSON"),
    ],
)
def test_pydantic_says_the_first_fault_and_gives_no_link(content: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Facts.model_validate_json(content)
    for text in (first_fault(refused.value), first_line(refused.value), one_line(refused.value)):
        assert text.startswith(said)
        assert "http" not in text


def test_no_message_holds_all_that_pydantic_says() -> None:
    """Its text has a heading, several lines and links; `first_fault` says what matters."""
    wrong = []
    for package in ("bench", "dermforge", "engines", "evalsuite", "gen", "shards"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ExceptHandler) and node.type and "ValidationError" in ast.unparse(node.type):
                    wrong += [f"{path.relative_to(ROOT)}:{found.lineno}" for found in told(node)]
    assert not wrong


def told(handler: ast.ExceptHandler) -> Iterator[ast.expr]:
    """Where a handler writes its error into a text."""
    for node in ast.walk(handler):
        shown = node.value if isinstance(node, ast.FormattedValue) else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str":
            shown = node.args[0]
        if isinstance(shown, ast.Name) and shown.id == handler.name:
            yield shown
