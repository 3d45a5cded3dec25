"""Library code names arguments, and whoever runs a command reads the names of its options."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
import typer

from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.option_names import as_typed
from dermforge.common.program import Program, loaded

ROOT = Path(__file__).resolve().parents[3]


def command(
    folder: Annotated[Path, typer.Argument()],
    parts_from: Annotated[str | None, typer.Option()] = None,
    mode: Annotated[str | None, typer.Option("--compile")] = None,
    rows: int = 4,
) -> None:
    raise UserError("give `folder` by `parts_from` or `mode`, not `other_thing`, `two words` or parts_from")


@pytest.mark.parametrize("typed", ["program command x", "dermforge program command x"])
def test_an_argument_in_backticks_is_said_as_it_is_typed(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "give `folder` by --parts-from or --compile, not `other_thing`, `two words` or parts_from"
    app = console.new_app("a program")
    app.command()(command)
    app.command("other")(lambda: None)
    if "dermforge" in typed:
        whole = console.new_app("all programs")
        whole.add_typer(app, name="program")
        app = whole
    monkeypatch.setattr(sys, "argv", typed.split())
    with pytest.raises(SystemExit):
        console.run(app)
    assert capsys.readouterr().err == f"error: {said}\n"
    assert as_typed("`rows` or `parts_from`", []) == "`rows` or `parts_from`"


def programs() -> Iterator[Program]:
    for package in ("gen", "shards", "evalsuite"):
        module = __import__(f"{package}.cli", fromlist=["cli"])
        yield from (one for one in vars(module).values() if isinstance(one, Program))


def options() -> set[str]:
    """The names of all commands' parameters that only a program would write: those with an underscore."""
    places = [place for program in programs() for place in program.commands.values()]
    names = {name for place in places for name in inspect.signature(loaded(place)).parameters}
    return {name for name in names if "_" in name}


#: Keys of files and columns of tables that have the name of an option.
KEYS = {("engines/checkpoint/scheduler.py", "prediction_type"), ("gen/diffusion/solvers.py", "few_steps")}


def test_library_code_marks_the_arguments_that_it_names() -> None:
    known, wrong = options(), []
    assert {"parts_from", "allow_leakage", "keep_adapter"} <= known
    for package in ("engines", "gen", "shards", "evalsuite"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Raise):
                    texts = [
                        n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)
                    ]
                    bare = {word for text in texts for word in re.findall(r"(?<![`\w])\w+(?![`\w])", text)}
                    wrong += [(name, word) for word in bare & known if (name, word) not in KEYS]
    assert not wrong
