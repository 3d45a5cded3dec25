"""Help comes at once: a program imports a command when it is asked for, and no program imports torch to name them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest

PROGRAMS = ("gen", "shards", "evalsuite", "bench")
HEAVY = ("torch", "diffusers", "transformers", "onnx", "onnxruntime", "timm", "scipy", "sklearn", "matplotlib")
CPU_S = 4.0  # of processor time, which a busy machine does not stretch much; 1.0 to 1.2 were measured
RUN = """
import json, resource, sys
from importlib import import_module
sys.argv = [sys.argv[1], "--help"]
try:
    import_module(f"{sys.argv[0]}.cli").main()
except SystemExit as end:
    status = end.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([status, used.ru_utime + used.ru_stime, sorted(sys.modules)]))
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", RUN, program], capture_output=True, text=True, check=True)
    status, seconds, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0
    assert done.stderr == ""
    assert not set(HEAVY).intersection(modules)
    assert seconds < CPU_S
    for command in import_module(f"{program}.cli").PROGRAM.commands:
        assert command in done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_read_from_the_source_is_the_commands_own(program: str) -> None:
    """Names in the same order, and every docstring; so each command is where the program says."""
    whole = import_module(f"{program}.cli").PROGRAM
    outline, real = (
        [
            (c.name, c.callback and c.callback.__doc__ and " ".join(c.callback.__doc__.split()))
            for c in app.registered_commands
        ]
        for app in (whole.app([]), whole.app())
    )
    assert outline == real


def test_importing_diffusers_beside_optimum_says_nothing() -> None:
    """It took optimum and optimum-onnx, which share a package, for a conflict and warned in every command."""
    done = subprocess.run(
        [sys.executable, "-c", "import engines, diffusers"], capture_output=True, text=True, check=True
    )
    assert "Multiple distributions" not in done.stderr
