"""Documentation: its commands are ones the programs take, its Python runs, its links lead somewhere."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).resolve().parent.parent
PAGES = [p for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))) if p.exists()]
PROGRAMS = ("gen", "shards", "evalsuite", "bench")
COMMANDS_PAGE = ROOT / "docs" / "commands.md"


def commands() -> dict[tuple[str, str], tuple[Any, str]]:
    """(program, command) -> the parser and the help text."""
    found = {}
    for program in PROGRAMS:
        app: typer.Typer = importlib.import_module(f"{program}.cli").app
        group: Any = typer.main.get_command(app)
        for registered in app.registered_commands:
            callback = registered.callback
            assert callback is not None
            name = registered.name or callback.__name__.replace("_", "-")
            found[program, name] = (group.commands[name], inspect.getdoc(callback) or "")
    return found


def blocks(page: Path, language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> list[str]:
    """Lines of our programs in code blocks, fenced or indented, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = [line for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
              for line in block.splitlines()]
    indented = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [line for line in (*fenced, *indented) if line.split(" ")[0] in PROGRAMS]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_line_is_one_that_the_program_takes(page: Path) -> None:
    """Names and options are parsed by the program itself; nothing is run."""
    known = commands()
    for line in command_lines(page):
        words = shlex.split(line, comments=True)
        assert (words[0], words[1]) in known, f"{page.name}: there is no `{words[0]} {words[1]}`"
        known[words[0], words[1]][0].make_context(words[1], words[2:])


@pytest.mark.parametrize("page", [p for p in PAGES if any(blocks(p, "python"))], ids=lambda p: p.name)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """All of a page in one process, one after the other, as a reader would."""
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(blocks(page, "python")), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False,
                          timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_list_of_commands_is_complete_and_says_what_they_say() -> None:
    """Every command is on the page with its own first line and, word for word, the example of its help."""
    page = COMMANDS_PAGE.read_text(encoding="utf-8")
    for (program, name), (_, text) in commands().items():
        assert f"### `{program} {name}`\n\n{text.splitlines()[0]}\n" in page, f"{program} {name}"
        for example in examples(text):
            assert example in page, f"{program} {name}: its help says `{example}`"


def test_every_command_has_an_example_in_its_help() -> None:
    """`--help` shows a line to copy."""
    lacking = [" ".join(name) for name, (_, text) in commands().items() if not examples(text)]
    assert not lacking


def examples(text: str) -> list[str]:
    """The command lines in a help text, wrapped ones joined, without rich's markup."""
    _, _, after = re.sub(r"\[/?bold\]", "", text).partition("Example")
    return [" ".join(m.split()) for m in re.findall(rf"((?:{'|'.join(PROGRAMS)}) .+?)(?:\n\n|$)", after, re.DOTALL)][:1]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A file that was renamed is still pointed at by nobody."""
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists() or target.endswith((".png", ".svg")), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path: Path) -> None:
    """The walk at the top of commands.md, run from an empty folder with the built-in pipeline: nothing may fail."""
    walk = next(blocks(COMMANDS_PAGE, "bash"))
    for line in walk.splitlines():
        words = shlex.split(line, comments=True)
        if words:
            run = [sys.executable, "-c", f"from {words[0]}.cli import main; main()", *words[1:]]
            done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1800,
                                  env={**os.environ, "PYTHONPATH": str(ROOT)})
            assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"
