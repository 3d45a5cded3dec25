"""The steps of `bench gpu`: what they call is there, they fit into nine minutes, and each can die alone."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from bench.suites.gpu.cuda_tests import ROOT, files_with_gpu_tests
from bench.suites.gpu.first_run import FAMILIES, first_run
from bench.suites.gpu.results import FILE, Job, read
from bench.suites.gpu.run_steps import run_steps
from bench.suites.gpu.schedule import Schedule, Step, Worker
from bench.suites.gpu.worker import Fault

HELPERS = Path(__file__).parents[3] / "helpers"
NAMES = [step.name for step in first_run().steps]


@pytest.mark.parametrize("worker", first_run(FAMILIES).workers, ids=lambda worker: worker.name)
def test_every_step_calls_a_function_of_the_right_shape(worker: Worker) -> None:
    """Job and report; after a preparation its result as well."""
    prepare = [(worker.prepare, 2)] if worker.prepare else []
    for step, arguments in [*prepare, *((step, 2 + len(prepare)) for step in worker.steps)]:
        module, _, name = step.call.partition(":")
        inspect.signature(getattr(import_module(module), name)).bind(*range(arguments))


def test_no_step_is_lost_for_lack_of_a_package_that_only_jpeg_needs() -> None:
    modules = sorted({step.call.partition(":")[0] for step in first_run(FAMILIES).steps})
    code = "import sys, importlib; sys.modules['simplejpeg'] = None; [*map(importlib.import_module, sys.argv[1:])]"
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names_are_told_apart() -> None:
    assert len(set(NAMES)) == len(NAMES)
    names = [worker.name for worker in first_run().workers]
    assert len(set(names)) == len(names)
    assert all("/" not in name for name in names)  # each has a log file


def test_what_is_side_by_side_leaves_most_of_the_time_to_the_rest() -> None:
    """At worst the first two blocks take 260 of 540 seconds."""
    schedule = first_run()
    first = sum(step.seconds for worker in schedule.first for step in worker.steps)
    beside = [sum(step.seconds for step in worker.steps) for worker in schedule.beside]
    prepared = [worker.prepare.seconds for worker in schedule.alone if worker.prepare]
    assert first + max(*beside, *prepared) <= 260


def test_a_rehearsal_goes_side_by_side_too() -> None:
    """The same steps; two preparations meet the training and the tests, as all do on a GPU."""
    schedule, rehearsal = first_run(), first_run().rehearsed()
    assert {step.name for step in rehearsal.steps} == {step.name for step in schedule.steps}
    assert len(rehearsal.steps) == len(schedule.steps)
    assert [worker.name for worker in rehearsal.alone] == ["ours", "diffusers"]
    assert [worker.name for worker in rehearsal.beside] == ["tests", "training"]


def imitated(schedule: Schedule) -> Schedule:
    """The same workers and steps in their order, whose work takes no time."""

    def step(one: Step, call: str) -> Step:
        return replace(one, call=f"gpu_step_helpers:{call}", seconds=60)

    def workers(some: tuple[Worker, ...]) -> tuple[Worker, ...]:
        return tuple(
            Worker(
                one.name,
                tuple(step(s, "measure") for s in one.steps),
                step(one.prepare, "prepare") if one.prepare else None,
            )
            for one in some
        )

    return replace(
        schedule,
        first=workers(schedule.first),
        beside=workers(schedule.beside),
        alone=workers(schedule.alone),
        last=workers(schedule.last),
    )


@pytest.mark.parametrize("parity", [0, 1])
def test_each_step_is_killed_once_and_the_rest_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parity: int
) -> None:
    """Every other step dies in one run, and the others in another; every step that lives has its number."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HELPERS), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    job = Job(out=tmp_path / "out", scratch=tmp_path / "scratch", shapes="tiny", rehearsal=True, begun=time.time())
    faults: dict[str, Fault] = dict.fromkeys(NAMES[parity::2], "dies")
    run_steps(imitated(first_run()), job, 300, lambda *_: None, faults)
    lines, damaged = read(job.out / FILE)
    ends = {line.step: line.outcome.status for line in lines if line.outcome}
    prepares = {worker.prepare.name for worker in first_run().workers if worker.prepare}
    assert damaged == 0
    assert {name: ends[name] for name in NAMES} == {name: "died" if name in faults else "done" for name in NAMES}
    again = {name for name in ends if name.endswith(" again")}
    assert {f"{name} again" for name in prepares & set(faults)} <= again <= {f"{name} again" for name in prepares}
    assert all(ends[name] == "done" for name in again)
    found = {line.measurement.name for line in lines if line.measurement}
    assert found == set(NAMES) - prepares - set(faults)


def test_the_tests_for_a_gpu_are_found() -> None:
    """By their mark: no other test file is imported, and so none of the packages that only others need."""
    found = files_with_gpu_tests(ROOT)
    assert "tests/engines/backends/test_cuda_graph.py" in found
    assert "tests/bench/measure/test_cost.py" not in found
    assert files_with_gpu_tests(ROOT / "bench") == []
