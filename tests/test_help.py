"""Help pages at the widths of a terminal: every default is on the page, and no option's name is cut."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
import typer

PROGRAMS = ("gen", "shards", "evalsuite", "bench")


def parsers() -> list[Any]:
    """Each command's parser, under its whole name."""
    found = []
    for program in PROGRAMS:
        group: Any = typer.main.get_command(import_module(f"{program}.cli").PROGRAM.app())
        found += [pytest.param(command, id=f"{program} {name}") for name, command in group.commands.items()]
    return found


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", parsers())
def test_a_help_page_shows_every_name_and_every_default(command: Any, width: int) -> None:
    context = command.make_context(command.name, [], resilient_parsing=True, terminal_width=width)
    page = command.get_help(context)
    text = "".join(page.split())  # a line may end within a value
    assert "\\" not in page, "the marks of rich are not text"
    assert max(map(len, page.splitlines())) <= width
    for parameter in command.params:
        # Not `isinstance(parameter, click.Option)`: newer typer has a copy of click.
        listed = parameter.param_type_name == "option" and not parameter.hidden
        names = [*parameter.opts, *parameter.secondary_opts] if listed else []
        for name in names:
            assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page), f"{name} is cut"
        shown = parameter.default
        if not names or shown in (None, "") or isinstance(shown, bool) or callable(shown):
            continue
        value = shown.value if hasattr(shown, "value") else shown
        values = value if isinstance(value, list | tuple) else [value]
        assert f"[default:{','.join(map(str, values))}".replace(" ", "") in text, (
            f"{names[0]} hides its default {value!r}"
        )
