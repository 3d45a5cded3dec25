"""Imports point one way, between packages and between the rooms of a package; hidden dependencies count as imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Package -> the packages that it may use. "common" is dermforge.common, "dermforge" the rest of dermforge: the door.
PACKAGES = {
    "common": {"common"},
    "engines": {"engines", "common"},
    "shards": {"shards", "common"},
    "gen": {"gen", "engines", "shards", "common"},
    "evalsuite": {"evalsuite", "shards", "common"},
    "bench": {"bench", "gen", "engines", "shards", "evalsuite", "common"},
    "dermforge": {"dermforge", "gen", "engines", "shards", "evalsuite", "bench", "common"},
}
#: Room -> the other rooms of its package that it may use. `commands` may use all of them, and only `cli` uses it.
ROOMS: dict[str, dict[str, set[str]]] = {
    "shards": {
        "storage": set(),
        "format": {"storage"},
        "ingest": {"format", "storage"},
        "mixing": {"format"},
        "tools": {"format", "storage"},
    },
    "gen": {
        "phantoms": set(),
        "builtin": {"phantoms"},
        "plan": {"diffusion"},
        "diffusion": {"plan"},
        "sampling": {"plan", "diffusion"},
        "finetune": {"plan", "diffusion", "sampling"},
        "distill": {"finetune"},
        "decoder": {"finetune", "diffusion"},
    },
    "evalsuite": {
        "stats": set(),
        "page": {"stats", "fairness"},
        "fairness": {"stats"},
        "training": {"fairness"},
        "study": {"stats", "fairness", "training"},
        "images": {"stats", "page", "fairness", "training", "study"},
        "readers": {"stats", "fairness"},
        "use": {"stats", "fairness", "training", "study", "images"},
        "reader_study": {"stats", "page", "images", "study"},
        "report": {"stats", "page", "fairness", "training", "study", "readers", "use"},
    },
    "bench": {"measure": set(), "peers": {"measure"}, "suites": {"measure", "peers"}},
}
#: `shards regenerate` starts the installed console script of gen; a script of `bench audits` asks ours as a user does.
PROCESSES = {("shards/commands/change.py", "gen"), ("bench/peers/audit_scripts/with_dermforge.py", "dermforge")}

STARTERS = {"run", "Popen", "call", "check_call", "check_output", "system", "popen", "which", "create_subprocess_exec"}
IMPORTERS = {"import_module", "find_spec", "__import__", "run_module"}
NAMES = "|".join(sorted(set(PACKAGES) - {"common"}))
IMPORT = re.compile(rf"\b(?:from|import)\s+((?:{NAMES})\b(?:\.\w+)*)")
DOTTED = re.compile(rf"^((?:{NAMES})(?:\.\w+)+)(?::\w+)?$")


def used_modules(source: str) -> set[str]:
    """Every module of the project that a source imports, names in a string or starts as a process."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            found |= set(IMPORT.findall(node.value)) | {
                m[1] for m in [DOTTED.match(node.value)] if m and is_module(m[1])
            }
        elif isinstance(node, ast.Call) and called(node) in IMPORTERS and node.args:
            found |= {text for text in strings(node.args[0]) if text.split(".")[0] in PACKAGES}
        elif isinstance(node, ast.FunctionDef | ast.Module):
            found |= started_programs(node)
    return {name for name in found if name.split(".")[0] in PACKAGES}


def started_programs(scope: ast.FunctionDef | ast.Module) -> set[str]:
    """The programs of the project that are named where a process is started."""
    nodes = list(own_nodes(scope))
    if not any(isinstance(node, ast.Call) and called(node) in STARTERS for node in nodes):
        return set()
    words = {word for node in nodes for text in strings(node) for word in re.split(r"[\s/]", text)}
    return words & set(NAMES.split("|"))


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function or module itself, without nested functions, docstrings and error messages."""
    for node in ast.iter_child_nodes(scope):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Raise):
            yield node
            yield from own_nodes(node)


def strings(node: ast.AST) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_module(name: str) -> bool:
    """Whether the first two parts of a dotted name are a module or a folder of the project."""
    place = ROOT.joinpath(*name.split(".")[:2])
    return place.is_dir() or place.with_suffix(".py").is_file()


def package_of(module: str) -> str:
    """The key of `PACKAGES`; the version belongs to the common part."""
    if re.match(r"dermforge\.common\b", module):
        return "common"
    return module.split(".")[0]


def room_of(module: str) -> str:
    """The room of a module in its package; "" for a module at the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and ROOT.joinpath(*parts[:2]).is_dir() else ""


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("def f():\n    import bench.cli", "bench.cli"),
        ("from gen import plan", "gen.plan"),
        ("subprocess.run([sys.executable, '-c', 'from gen.cli import main; main()'])", "gen.cli"),
        ("subprocess.run([sys.executable, '-m', 'bench'])", "bench"),
        ("def f():\n    command = ['gen', 'sample']\n    return os.system(' '.join(command))", "gen"),
        ("os.system('/usr/bin/gen sample')", "gen"),
        ("importlib.import_module('engines')", "engines"),
        ("find_spec('evalsuite.cli')", "evalsuite.cli"),
        ("COMMANDS = {'plan': 'gen.commands.plan:plan'}", "gen.commands.plan"),
        ("LAZY = {'shards.format.reader': ['ShardSet']}", "shards.format.reader"),
    ],
)
def test_the_check_sees_every_way_to_use_a_package(source: str, module: str) -> None:
    assert module in used_modules(source)


def test_the_check_leaves_plain_words_alone() -> None:
    """Messages, docstrings and file names may name a command."""
    source = (
        '"""from gen import x"""\nsay("make it with `gen sample`")\nopen("dermforge.json")\nsubprocess.run(["git"])'
    )
    assert used_modules(source) == set()


@pytest.mark.parametrize("folder", NAMES.split("|"))
def test_imports_point_one_way(folder: str) -> None:
    wrong = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for used in used_modules(path.read_text(encoding="utf-8")):
            if not (allowed(module, used) or (name, used) in PROCESSES):
                wrong.append(f"{name} uses {used}")
    assert not wrong


def allowed(module: str, used: str) -> bool:
    """Whether the rules of packages and of rooms let one module use another."""
    package, room, other = package_of(module), room_of(module), room_of(used)
    if package_of(used) not in PACKAGES[package]:
        return False
    if package_of(used) != package or other in ("", room):
        return True
    if other == "commands":
        return module.endswith((".cli", ".__main__"))
    return room in ("", "commands") or package not in ROOMS or other in ROOMS[package][room]
