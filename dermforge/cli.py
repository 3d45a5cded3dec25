"""The `dermforge` command: the four programs as its sub-commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import typer

from dermforge.common.program import Program, new_app, run

PROGRAMS = ("gen", "shards", "evalsuite", "bench")


def app(words: Sequence[str]) -> typer.Typer:
    """The Typer application for a command line, given as words; only the program that it names has commands."""
    whole = new_app("Synthetic images of skin disease, and an answer to whether they help.")
    for name in PROGRAMS:
        program: Program = import_module(f"{name}.cli").PROGRAM
        whole.add_typer(program.app(words[1:2]) if name in words[:1] else new_app(program.help), name=name)
    return whole


def main() -> NoReturn:
    """Entry point."""
    run(lambda: app(sys.argv[1:]))
