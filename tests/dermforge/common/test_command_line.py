"""Commands in messages can be pasted, whatever files are called."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.command_line import typed

ROOT = Path(__file__).parents[3]
PROGRAMS = "gen|shards|evalsuite|bench"


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_shell_reads_the_words_that_were_given(words: list[str]) -> None:
    line = typed(*words)
    assert (line[0], line[-1]) == ("`", "`")
    assert shlex.split(line[1:-1]) == words


def unquoted(path: Path) -> Iterator[str]:
    """The commands in a module's f-strings into which a value goes as it is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"  # type: ignore[attr-defined]
                for part in node.values
            )
            yield from re.findall(rf"`(?:{PROGRAMS}) [^`]*\{{[^`]*`", text)


def test_no_message_writes_a_command_with_a_name_as_it_is() -> None:
    """A method is one word."""
    modules = [path for top in ("dermforge", "engines", *PROGRAMS.split("|")) for path in (ROOT / top).rglob("*.py")]
    assert len(modules) > 300
    found = {(path.name, one) for path in modules for one in unquoted(path)}
    assert {one for one in found if "--method {settings.method}`" not in one[1]} == set()
