"""`import dermforge` is quick, names what it has, and each name is what a notebook's user expects of it."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import dermforge

FUNCTIONS = [name for name in dermforge.__all__ if name != "__version__"]
#: The arguments that may be given by position.
POSITIONAL = {
    "compare": ["a", "b"],
    "fairness_card": ["predictions"],
    "generate": ["engine", "rows"],
    "load_engine": ["bundle"],
    "mix": ["sources"],
    "open_shards": ["location"],
    "privacy": ["train", "synthetic"],
    "quality": ["real", "synthetic"],
    "tone": ["images"],
}


def test_the_import_is_quick() -> None:
    code = (
        "import sys, time; start = time.process_time(); known = set(sys.modules); import dermforge; "
        "print(time.process_time() - start, *sorted({m.split('.')[0] for m in set(sys.modules) - known}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *modules = done.stdout.split()
    assert float(seconds) < 0.3
    assert not {"torch", "pandas", "numpy", "engines", "shards", "gen", "evalsuite"}.intersection(modules)


def test_all_and_dir_name_every_function() -> None:
    assert dermforge.__all__ == sorted(dermforge.__all__)
    assert dir(dermforge) == dermforge.__all__
    assert all(callable(getattr(dermforge, name)) for name in FUNCTIONS)
    assert dermforge.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="module 'dermforge' has no attribute 'fairness_crad'"):
        getattr(dermforge, "fairness_crad")  # noqa: B009


def test_type_checkers_see_the_same_names() -> None:
    """They read the imports under TYPE_CHECKING, and Python the table of lazy names."""
    tree = ast.parse(Path(dermforge.__file__).read_text())
    seen = {
        alias.name: node.module
        for guard in tree.body
        if isinstance(guard, ast.If)
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: getattr(dermforge, name).__module__ for name in FUNCTIONS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_named_and_described(name: str) -> None:
    function = getattr(dermforge, name)
    parameters = inspect.signature(function).parameters.values()
    assert [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY] == POSITIONAL[name]
    text = inspect.getdoc(function) or ""
    sections = [
        line for line, rule in zip(text.splitlines(), text.splitlines()[1:], strict=False) if set(rule) == {"-"}
    ]
    assert [name for name in sections if name != "Warns"] == ["Parameters", "Returns", "Raises", "Examples"]
    described = text.split("Parameters\n")[1].split("Returns\n")[0].splitlines()
    names = [name for line in described if line and line[0].isalpha() for name in line.split(", ")]
    assert names == [p.name for p in parameters]
