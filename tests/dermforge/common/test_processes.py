"""Whatever starts a process, no module of the current folder runs in it, and it ends with us however we end."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import evil_folder
import pytest
from command_helpers import importing_from
from process_helpers import in_child, is_alive

from dermforge.common import processes
from dermforge.common.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
#: What starts a process. `run` of subprocess, not of our own programs; a fork imports nothing anew.
STARTERS = {"Popen", "check_call", "check_output", "system", "popen", "execv", "execvp", "posix_spawn", "get_context"}
STARTERS |= {"ProcessPoolExecutor", "Pool", "init", "run"}
#: The ways that end with us.
OURS = {"spawning", "pool", "program"}
#: Names that are common, by the module that they start a process in.
OWNERS = {"run": "subprocess", "init": "ray", "system": "os", **dict.fromkeys(OURS, "processes")}
#: Where we do, and the test that stands for it.
KNOWN = {
    "dermforge/common/processes.py": "this file",
    "dermforge/common/ray_cluster.py": "this file; Ray itself ends what it started",
    "evalsuite/study/run_arms.py": "tests/integration/test_current_folder.py",
    "shards/commands/change.py": "tests/integration/test_current_folder.py",
    "shards/tools/verify.py": "tests/integration/test_current_folder.py",
    "gen/phantoms/dataset.py": "tests/integration/test_current_folder.py",
    "gen/builtin/data.py": "the same pool as in gen/phantoms/dataset.py",
    "bench/peers/audits.py": "-P stands in its command; by dermforge/common/processes.py",
    "bench/suites/engine_files.py": "spawns by dermforge/common/processes.py",
    "bench/suites/run_all.py": "-P stands in its command",
    "bench/measure/device.py": "git and nvidia-smi only",
    "bench/suites/gpu/process.py": "tests/bench/suites/gpu/test_run_steps.py; -P stands in its command",
    "bench/suites/gpu/machine.py": "-P stands in its command",
    "bench/suites/gpu/cuda_tests.py": "-P stands in its command",
}
#: Those that start processes in ways of their own.
ALONE = {
    "dermforge/common/processes.py",
    "dermforge/common/ray_cluster.py",
    "bench/measure/device.py",
    "bench/suites/gpu/process.py",
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


PARENT = r"""
import os, sys, time
from dermforge.common import processes
def wait(seconds):
    os.write(1, b"%d\n" % os.getpid())  # in one piece
    time.sleep(seconds)
if __name__ == "__main__":
    how = sys.argv[1]
    if how == "program":
        command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(100)"]
        started = processes.program(command)
    elif how == "process":
        started = processes.spawning().Process(target=wait, args=(100,))
        started.start()
    elif how == "importing":
        sys.path.append(os.path.dirname(__file__))
        import slow_module
        os.environ["SLOWLY"] = "in the child"
        started = processes.spawning().Process(target=slow_module.work)
        started.start()
    else:
        with processes.pool(2, spawn=how == "new") as started:
            futures = [started.submit(wait, 100) for _ in range(2)]
            time.sleep(100)
    time.sleep(100)
"""


SLOW_MODULE = """
import os, time
def work():
    pass
if "SLOWLY" in os.environ:
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(100)
"""
WAYS = [("program", 1), ("process", 1), ("importing", 1), ("new", 2), ("forks", 2)]


@pytest.mark.parametrize(("how", "count"), WAYS)
def test_what_was_started_ends_with_a_killed_parent(how: str, count: int, tmp_path: Path) -> None:
    place = tmp_path / "parent.py"
    place.write_text(PARENT)
    (tmp_path / "slow_module.py").write_text(SLOW_MODULE)
    command = [sys.executable, str(place), how]
    env = importing_from(ROOT)
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        children = [int(parent.stdout.readline()) for _ in range(count)]
        assert all(map(is_alive, children))
        parent.kill()
        parent.wait()
        end = time.monotonic() + 10
        while any(map(is_alive, children)) and time.monotonic() < end:
            time.sleep(0.05)
        late = list(filter(is_alive, children))
        for child in late:
            os.kill(child, signal.SIGKILL)
        assert not late


def test_one_that_asks_too_late_ends_at_once() -> None:
    """Its parent ended before it could ask."""
    assert in_child(lambda: processes.end_with_parent(os.getppid() + 1)) == -signal.SIGKILL
    assert in_child(lambda: processes.end_with_parent(os.getppid())) == 0


def test_every_place_that_starts_a_process_is_known() -> None:
    """A new one has to say which test stands for it, and to start processes that end with us."""
    assert {place for place, _ in calls(STARTERS | OURS)} == set(KNOWN)
    assert {place for place, _ in calls(STARTERS)} == ALONE


def calls(names: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """The calls of these names in our packages, with their files."""
    for package in ("dermforge", "engines", "gen", "shards", "evalsuite", "bench"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and starts(node.func, names):
                    yield path.relative_to(ROOT).as_posix(), node


def starts(called: ast.expr, names: set[str]) -> bool:
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        return called.attr in names and called.value.id == OWNERS.get(called.attr, called.value.id)
    return isinstance(called, ast.Name) and called.id in names - set(OWNERS)


@pytest.mark.parametrize("spawn", [True, False])
def test_a_killed_process_of_a_pool_is_said(spawn: bool) -> None:
    """By the system, for lack of memory: no traceback of a library."""
    with (
        pytest.raises(UserError, match="was killed, often for lack of memory"),
        processes.pool(1, spawn=spawn) as started,
    ):
        started.submit(signal.raise_signal, signal.SIGKILL).result()
