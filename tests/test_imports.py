"""The parts import one way only, so that each can be understood, tested and used without the others."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = {"engines", "gen", "shards", "evalsuite", "bench"}
ALLOWED = {
    "engines": {"engines"},
    "shards": {"shards"},
    "gen": {"gen", "engines", "shards"},
    "evalsuite": {"evalsuite", "shards"},
    "bench": PARTS,
}


def imported_parts(source: str) -> set[str]:
    """The project's packages that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names & PARTS


def test_the_check_sees_imports_inside_functions() -> None:
    assert imported_parts("def f():\n    from gen.plan import Plan\n    import bench.cli") == {"gen", "bench"}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_imports_point_one_way(part: str) -> None:
    for path in (ROOT / part).rglob("*.py"):
        wrong = imported_parts(path.read_text(encoding="utf-8")) - ALLOWED[part]
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"
