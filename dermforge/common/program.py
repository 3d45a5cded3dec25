"""A program of several commands. Each command is imported only when it is asked for: help needs no torch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dermforge.common import console
from dermforge.common.version import __version__

#: A missing module of these is a mistake of ours, not a missing package.
OURS = ("bench", "dermforge", "engines", "evalsuite", "gen", "shards")


@dataclass(frozen=True)
class Program:
    """What a console script runs.

    Attributes
    ----------
    help
        What the program is for.
    commands
        The function of each command, as "package.module:function".
    """

    help: str
    commands: Mapping[str, str]

    def app(self, wanted: Container[str] | None = None) -> typer.Typer:
        """The Typer application. Commands that are not wanted have a name and a help text only; None wants all."""
        app = new_app(self.help)
        for name, place in self.commands.items():
            app.command(name)(loaded(place) if wanted is None or name in wanted else outlined(place))
        return app

    def run(self) -> NoReturn:
        """Run the command that the command line names."""
        run(lambda: self.app(sys.argv[1:2]))


def run(make: Callable[[], typer.Typer]) -> NoReturn:
    """Make an application and run it; a package that it needs and that is missing is named in one line."""
    try:
        console.run(make())
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in OURS:
            raise
        wheels = "docs/how-to/benchmarks.md lists the wheels for a machine without a network"
        console.warn(f"{missing} is not installed; install it, or all of dermforge; {wheels}", "error", "red")
        sys.exit(2)


def new_app(help: str) -> typer.Typer:
    """A Typer application for several commands, with the option `--version`."""
    app = console.new_app(help)
    app.callback()(_options)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        console.say(f"dermforge {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def loaded(place: str) -> Callable[..., None]:
    """A command's function."""
    module, _, function = place.partition(":")
    command: Callable[..., None] = getattr(import_module(module), function)
    return command


def outlined(place: str) -> Callable[[], None]:
    """A function with the docstring of a command, which is read from the source without importing it."""
    module, _, function = place.partition(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)

    def outline() -> None: ...

    outline.__doc__ = ast.get_docstring(found)
    return outline
