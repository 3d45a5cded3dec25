"""A family of models is one file: nothing else names it (docs/decisions/0046)."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from engines.models import families

ROOT = Path(__file__).resolve().parents[3]
#: The families themselves, and what draws the built-in pipeline, which is of one of them.
OWN = ("engines/models/", "gen/builtin/")


def names() -> set[str]:
    """What only one family is called, or has: its name, its title, its classes in diffusers."""
    kinds = Counter(family.parts[family.denoiser].kind for family in families().values())
    own = {name for family in families().values() for name in (family.name, family.title, *family.pipelines)}
    return own | {kind for kind, n in kinds.items() if n == 1}


def named(source: str) -> set[str]:
    """The families that a source names, beside its docstrings and comments."""
    tree = ast.parse(source)
    docs = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return {name for node in ast.walk(tree) if id(node) not in docs for text in texts(node) for name in names_in(text)}


def texts(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)) | ast.Name(id=text) | ast.Attribute(attr=text) | ast.alias(name=text):
            yield text
        case ast.FunctionDef(name=text) | ast.ClassDef(name=text) | ast.arg(arg=text) | ast.keyword(arg=str(text)):
            yield text


@cache
def pattern() -> re.Pattern[str]:
    longest_first = sorted(names(), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z0-9])({'|'.join(map(re.escape, longest_first))})(?![A-Za-z0-9])")


def names_in(text: str) -> set[str]:
    return set(pattern().findall(text))


@pytest.mark.parametrize(
    "source",
    [
        'LAYOUTS = {"sdxl": 1}',
        "def sd3(name): ...",
        'if family.name == "sd": ...',
        "from diffusers import FluxPipeline",
        'say(f"of {width}, as Stable Diffusion XL has it")',
        "settings.flux",
    ],
)
def test_the_check_sees_a_name_wherever_it_stands(source: str) -> None:
    assert named(source)


def test_the_check_leaves_docstrings_and_shared_classes_alone() -> None:
    assert not named('"""As SDXL and flux have it."""\nkind = "UNet2DConditionModel"  # of sdxl')


def test_no_other_module_names_a_family() -> None:
    wrong = {}
    for package in ("engines", "gen", "dermforge"):  # the others know of no models
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(OWN) and (found := named(path.read_text(encoding="utf-8"))):
                wrong[name] = found
    assert not wrong
