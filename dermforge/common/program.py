"""A program of several commands, each imported when it is asked for: torch takes seconds, and help needs none of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import typer

from dermforge.common import console


@dataclass(frozen=True)
class Program:
    """What a console script runs.

    Attributes
    ----------
    help
        What it is for.
    commands
        Where each command's function is, as "package.module:function".
    """

    help: str
    commands: Mapping[str, str]

    def app(self, wanted: Container[str] | None = None) -> typer.Typer:
        """The Typer application; of commands that are not wanted it has only the name and the help."""
        app = console.new_app(self.help)
        for name, place in self.commands.items():
            whole = wanted is None or name in wanted
            app.command(name)(loaded(place) if whole else outlined(place))
        return app

    def run(self) -> NoReturn:
        """Run the command that the command line names."""
        console.run(self.app(sys.argv[1:2]))


def loaded(place: str) -> Callable[..., None]:
    """A command's function."""
    module, _, function = place.partition(":")
    command: Callable[..., None] = getattr(import_module(module), function)
    return command


def outlined(place: str) -> Callable[[], None]:
    """A function with the docstring of a command's, read from its source without importing it."""
    module, _, function = place.partition(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)

    def outline() -> None: ...

    outline.__doc__ = ast.get_docstring(found)
    return outline
