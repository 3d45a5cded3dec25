"""mkdocs hook: the command reference, made from the programs themselves at every build."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = "reference/commands.md"
PROGRAMS = ("gen", "shards", "evalsuite", "bench")
HEAD = """# Commands

Every command and option, as `--help` shows them. `dermforge gen ...` is the same as `gen ...`, and so for the others.
Exit status is 0, 1 when a check failed, and 2 for bad input.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the site."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The reference of all programs as Markdown."""
    return "\n".join([HEAD, *(line for program in PROGRAMS for line in described(program))])


def described(program: str) -> Iterator[str]:
    """The lines of one program: each command's help, its example and a table of its options."""
    app: typer.Typer = importlib.import_module(f"{program}.cli").PROGRAM.app()
    group: Any = typer.main.get_command(app)
    yield f"## `{program}`\n\n{app.info.help}\n"
    for registered in app.registered_commands:
        name, callback = registered.name, registered.callback
        assert name is not None
        assert callback is not None
        yield f"### `{program} {name}`\n\n{prose(inspect.getdoc(callback) or '')}\n"
        yield "| | default | |\n|---|---|---|"
        yield from (row(parameter) for parameter in group.commands[name].params if parameter.name != "help")
        yield ""


def prose(text: str) -> str:
    """A docstring as Markdown: the line after "Example:" becomes a code block."""
    before, _, after = text.partition("Example:")
    example, _, rest = after.strip().partition("\n\n")
    code = f"```bash\n{' '.join(example.split())}\n```" if example else ""
    return "\n\n".join(part for part in (before.strip(), code, rest) if part)


def row(parameter: Any) -> str:
    """An option or argument as a row of a table."""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    name = names if parameter.param_type_name == "option" else f"`{parameter.name.upper()}`"
    value = parameter.default
    shown = not (value is None or value is False or callable(value) or str(value) in ("", "()", "[]"))
    default = "required" if parameter.required else f"`{value}`" if shown else ""
    text = (parameter.help or "").translate({ord(sign): f"&#{ord(sign)};" for sign in "|[<*"})
    return f"| {name} | {default} | {text} |"
