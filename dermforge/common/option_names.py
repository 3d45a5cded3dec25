"""What an argument is called on the command line. Library code names it in backticks; a command's message, as typed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, get_type_hints

from typer.models import ArgumentInfo, OptionInfo


def option_of(command: Callable[..., object], name: str) -> str:
    """The option of a command's parameter."""
    notes = [note for note in _notes(command, name) if isinstance(note, OptionInfo)]
    # Of an option that is declared in `Annotated`, Typer keeps the first name as its default.
    declared = [str(flag) for note in notes for flag in (note.default, *(note.param_decls or ()))]
    return next((flag for flag in declared if flag.startswith("--")), f"--{name.replace('_', '-')}")


def as_typed(message: str, commands: Iterable[Callable[..., object]]) -> str:
    """A message in which each parameter of a command that stands in backticks is its option: `top_k` is --top-k."""
    options = {
        name: option_of(command, name)
        for command in commands
        for name in inspect.signature(command).parameters
        if not any(isinstance(note, ArgumentInfo) for note in _notes(command, name))
    }
    return re.sub(r"`(\w+)`", lambda found: options.get(found[1], found[0]), message)


def _notes(command: Callable[..., object], name: str) -> tuple[Any, ...]:
    return getattr(get_type_hints(command, include_extras=True)[name], "__metadata__", ())
