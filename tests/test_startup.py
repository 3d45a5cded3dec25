"""Help comes at once: a program imports a command only when it is asked for, and naming it needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from dermforge.common.version import __version__

PROGRAMS = ("gen", "shards", "evalsuite", "bench")
HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "onnx",
    "onnxruntime",
    "timm",
    "pandas",
    "scipy",
    "sklearn",
    "matplotlib",
)
CPU_S = 1.0  # of processor time, which a busy machine stretches little; 0.15 was measured
RUN = """
import json, resource, sys
from importlib import import_module
sys.argv = sys.argv[1:]
try:
    import_module(f"{sys.argv[0]}.cli").main()
except SystemExit as end:
    status = end.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([status, used.ru_utime + used.ru_stime, sorted(sys.modules)]))
"""
IMPORT = """
import json, sys
from importlib import import_module
for module in sys.argv[1:]:
    import_module(module)
print(json.dumps(sorted(sys.modules)))
"""


def run(*words: str) -> tuple[int, float, list[str], str]:
    """A program in a process of its own: exit status, seconds, modules it imported, what it printed."""
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    printed, _, last = done.stdout.rstrip().rpartition("\n")
    status, seconds, modules = json.loads(last)
    return status, seconds, modules, printed


@pytest.mark.parametrize("words", [(p,) for p in PROGRAMS] + [("dermforge", p) for p in PROGRAMS])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    status, seconds, modules, printed = run(*words, "--help")
    assert status == 0
    assert not set(HEAVY).intersection(modules)
    assert seconds < CPU_S
    for command in import_module(f"{words[-1]}.cli").PROGRAM.commands:
        assert command in printed


def test_the_help_of_every_command_imports_nothing_heavy() -> None:
    """Commands import what they compute with when they run; pandas, which is quick, is free to them."""
    modules = {place.split(":")[0] for p in PROGRAMS for place in import_module(f"{p}.cli").PROGRAM.commands.values()}
    found = subprocess.run([sys.executable, "-c", IMPORT, *modules], capture_output=True, text=True, check=True)
    assert not (set(HEAVY) - {"pandas"}).intersection(json.loads(found.stdout))


@pytest.mark.parametrize("program", ["dermforge", *PROGRAMS])
def test_a_program_runs_as_a_module(program: str) -> None:
    """Where its console script is not on the path, and under torchrun."""
    command = [sys.executable, "-m", program, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"dermforge {__version__}"


def test_one_command_has_the_four_programs() -> None:
    status, _, modules, printed = run("dermforge", "--help")
    assert status == 0
    assert not set(HEAVY).intersection(modules)
    for program in PROGRAMS:
        assert program in printed


@pytest.mark.parametrize("words", [("dermforge",), ("gen",), ("dermforge", "gen")])
def test_every_program_says_its_version(words: tuple[str, ...]) -> None:
    from dermforge import __version__

    status, _, _, printed = run(*words, "--version")
    assert (status, printed) == (0, f"dermforge {__version__}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_read_from_the_source_is_the_commands_own(program: str) -> None:
    """Names in the same order, and every docstring; so each command is where the program says."""
    whole = import_module(f"{program}.cli").PROGRAM
    outline, real = (
        [(c.name, words_of(c.callback)) for c in app.registered_commands] for app in (whole.app([]), whole.app())
    )
    assert outline == real


def words_of(command: Callable[..., None] | None) -> list[str]:
    return ((command and command.__doc__) or "").split()


def test_importing_diffusers_with_optimum_installed_says_nothing() -> None:
    """It took optimum and optimum-onnx, which share a package, for a conflict and warned in every command."""
    done = subprocess.run(
        [sys.executable, "-c", "import engines, diffusers"], capture_output=True, text=True, check=True
    )
    assert "Multiple distributions" not in done.stderr
