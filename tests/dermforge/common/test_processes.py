"""Whatever starts a process, no module of the current folder runs in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import evil_folder
import pytest
from command_helpers import importing_from

ROOT = Path(__file__).resolve().parents[3]
#: What starts a process. `run` of subprocess, not of our own programs; a fork imports nothing anew.
STARTERS = {"Popen", "check_call", "check_output", "system", "popen", "execv", "execvp", "posix_spawn", "get_context"}
STARTERS |= {"ProcessPoolExecutor", "Pool", "spawning", "init"}
#: Where we do, and the test that stands for it.
KNOWN = {
    "dermforge/common/processes.py": "this file",
    "dermforge/common/ray_cluster.py": "this file",
    "evalsuite/study/run_arms.py": "tests/integration/test_current_folder.py",
    "shards/commands/change.py": "tests/integration/test_current_folder.py",
    "shards/tools/verify.py": "tests/integration/test_current_folder.py",
    "gen/phantoms/dataset.py": "tests/integration/test_current_folder.py",
    "gen/builtin/data.py": "the same pool as in gen/phantoms/dataset.py",
    "bench/suites/engine_files.py": "spawns by dermforge/common/processes.py",
    "bench/suites/run_all.py": "-P stands in its command",
    "bench/measure/device.py": "git and nvidia-smi only",
}

CHILDREN = """
import subprocess, sys
from dermforge.common import console, processes
if __name__ == "__main__":
    console.find_only_installed_modules()
    for line in ("import json, pickle", "import multiprocessing.spawn"):
        subprocess.run([sys.executable, "-c", line], check=True)
    one = processes.spawning().Process(target=print, args=("spawned",))
    one.start()
    one.join()
    assert one.exitcode == 0
"""
ON_RAY = """
from dermforge.common import ray_cluster
from dermforge.common.id_ranges import count
ray = ray_cluster.connect("local")
print(ray.get(ray.remote(count).remote(["a"])))
ray.shutdown()
"""


def run_in(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script that lies elsewhere from a folder full of traps."""
    work, place = folder / "work", folder / "script" / "run.py"
    work.mkdir()
    place.parent.mkdir()
    place.write_text(script)
    evil_folder.plant(work, folder / "marker")
    env = importing_from(ROOT)
    env.pop("PYTHONSAFEPATH", None)
    command = [sys.executable, str(place)]
    return subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, check=False, timeout=240)


def test_no_child_runs_a_module_of_the_current_folder(tmp_path: Path) -> None:
    done = run_in(tmp_path, CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "spawned\n"
    assert not (tmp_path / "marker").exists()


def test_the_traps_are_real(tmp_path: Path) -> None:
    """Without the rule, the same children run them."""
    done = run_in(tmp_path, CHILDREN.replace("console.find_only_installed_modules()", "pass"))
    assert done.returncode != 0
    assert (tmp_path / "marker").exists()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
def test_no_worker_of_ray_runs_a_module_of_the_current_folder(tmp_path: Path) -> None:
    done = run_in(tmp_path, ON_RAY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    assert not (tmp_path / "marker").exists()


def test_every_place_that_starts_a_process_is_known() -> None:
    """A new one has to say which test stands for it."""
    found = set()
    for package in ("dermforge", "engines", "gen", "shards", "evalsuite", "bench"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and starts(node.func):
                    found.add(path.relative_to(ROOT).as_posix())
    assert found == set(KNOWN)


def starts(called: ast.expr) -> bool:
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        owner = called.value.id
        owners = {"run": "subprocess", "init": "ray", "system": "os"}
        if called.attr in owners:
            return owner == owners[called.attr]
        return called.attr in STARTERS
    return isinstance(called, ast.Name) and called.id in STARTERS
