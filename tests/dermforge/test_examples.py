"""The example of every function runs and gives what it says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import dermforge

FUNCTIONS = [name for name in dermforge.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_runs(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(dermforge, name), name, globs={})
    assert found.examples
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found, out=told.append)
    assert not told, "".join(told)
