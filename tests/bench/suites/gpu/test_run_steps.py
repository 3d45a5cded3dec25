"""The runner of `bench gpu`: a step that fails, hangs or dies loses only itself, and nothing that it started stays."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.suites.gpu.results import FILE, Job, Line, Outcome, read
from bench.suites.gpu.run_steps import run_steps
from bench.suites.gpu.schedule import Schedule, Step, Worker
from bench.suites.gpu.worker import Fault

HELPERS = Path(__file__).parents[3] / "helpers"


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose workers find the helpers of the tests."""
    places = [str(HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    return Job(out=out, scratch=scratch, shapes="tiny", rehearsal=True, begun=time.time())


def step(name: str, call: str = "measure", seconds: float = 60) -> Step:
    return Step(name, f"gpu_step_helpers:{call}", seconds)


def ran(schedule: Schedule, job: Job, faults: dict[str, Fault] | None = None, seconds: float = 300) -> list[Line]:
    told: dict[str, Outcome] = {}
    run_steps(schedule, job, seconds, told.__setitem__, faults)
    lines, damaged = read(job.out / FILE)
    assert not damaged
    assert told == {line.step: line.outcome for line in lines if line.outcome}
    return lines


def statuses(lines: list[Line]) -> dict[str, str]:
    return {line.step: line.outcome.status for line in lines if line.outcome}


def whys(lines: list[Line]) -> dict[str, str | None]:
    return {line.step: line.outcome.why for line in lines if line.outcome}


def measured(lines: list[Line]) -> set[str]:
    assert all(line.measurement.details.get("prepared", True) for line in lines if line.measurement)
    return {line.measurement.name for line in lines if line.measurement}


def alone(*steps: Step, prepare: Step | None = None) -> Schedule:
    return Schedule((), (), (Worker("only", steps, prepare),), ())


def test_what_becomes_of_a_step_is_said_and_the_next_one_is_done(job: Job) -> None:
    """Each kind of end, with its reason; what a step found before it failed is kept."""
    names = ("hang_with_a_child", "lose_the_process", "leave", "miss_a_package", "miss_a_module", "refuse")
    bad = [step(name, name, seconds=4 if "hang" in name else 60) for name in names]
    lines = ran(alone(*(one for bad_one in bad for one in (bad_one, step(f"after {bad_one.name}")))), job)
    assert statuses(lines) == {
        "hang_with_a_child": "stopped",
        "lose_the_process": "died",
        "leave": "died",
        "miss_a_package": "skipped",
        "miss_a_module": "failed",
        "refuse": "failed",
        **{f"after {one}": "done" for one in names},
    }
    said = whys(lines)
    assert said["hang_with_a_child"] == "at its limit of 4 s"
    assert said["lose_the_process"] == "of SIGSEGV"
    assert said["leave"] == "with exit status 3"
    assert said["miss_a_package"] == "no_such_package_here is not installed"
    assert said["refuse"] is not None
    assert said["refuse"].startswith("ValueError: three is not four (gpu_step_helpers.py:")
    assert measured(lines) == {"before it failed", *(f"after {one}" for one in names)}
    assert "three is" in (job.out / "logs.txt").read_text()
    children = [line.note["child"] for line in lines if line.note and "child" in line.note]
    assert len(children) == 2
    assert not any(is_alive(child) for child in children)


def is_alive(process: int) -> bool:
    """Whether a process runs; one that ended and that nobody waited for does not."""
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("fault", ["fails", "hangs", "dies"])
def test_a_lost_process_is_prepared_again_for_the_steps_that_are_left(job: Job, fault: Fault) -> None:
    limit = 1.2 if fault == "hangs" else 60
    schedule = alone(step("a"), step("b", seconds=limit), step("c"), prepare=step("prepare", "prepare"))
    lines = ran(schedule, job, {"b": fault})
    ends = {"fails": "failed", "hangs": "stopped", "dies": "died"}
    again = {} if fault == "fails" else {"prepare again": "done"}
    assert statuses(lines) == {"prepare": "done", "a": "done", "b": ends[fault], **again, "c": "done"}
    assert measured(lines) == {"a", "c"}


@pytest.mark.parametrize(
    ("fault", "first", "rest"),
    [("fails", "failed", "not run"), ("hangs", "stopped", "not run"), ("dies", "died", "done")],
)
def test_steps_without_their_preparation_say_why(job: Job, fault: Fault, first: str, rest: str) -> None:
    """Only a process that died is tried again: a failure, or a hang with the machine to itself, would come back."""
    limit = 1.2 if fault == "hangs" else 60
    only = Worker("only", (step("a"), step("b")), step("prepare", "prepare", limit))
    schedule = Schedule((), (), (), (only, Worker("other", (step("elsewhere"),))))
    lines = ran(schedule, job, {"prepare": fault})
    found = statuses(lines)
    assert (found["prepare"], found["a"], found["b"], found["elsewhere"]) == (first, rest, rest, "done")
    if rest == "not run":
        assert whys(lines)["a"] == whys(lines)["b"] == f"prepare: {first}"


def crowded(limit: float) -> Schedule:
    """A preparation and a step that the faults hold up side by side, and extras."""
    return Schedule(
        (),
        (Worker("train", (step("train", seconds=limit),)), Worker("tests", (replace(step("tests"), once=True),))),
        (Worker("only", (step("a"),), step("prepare", "prepare", limit)),),
        (Worker("extra", (replace(step("extra"), extra=True),)), Worker("last", (step("last"),))),
    )


def test_what_others_held_up_is_tried_once_more_alone(job: Job) -> None:
    """The preparation when it is its turn; the other step before the extras, which may take the rest of the time."""
    lines = ran(crowded(8), job, {"train": "hangs", "prepare": "hangs"})
    found = statuses(lines)
    assert {name: found.pop(name) for name in ("train", "tests", "prepare")} == {
        "train": "stopped",
        "tests": "done",
        "prepare": "stopped",
    }
    assert list(found.items()) == [(name, "done") for name in ("prepare again", "a", "last", "train again", "extra")]
    labels = {line.measurement.name: line.measurement.details.get("side by side") for line in lines if line.measurement}
    assert labels == {"tests": True, "a": None, "last": None, "train again again": None, "extra": None}


def test_nothing_is_tried_again_without_time_or_where_once_is_enough(job: Job) -> None:
    lines = ran(crowded(60), job, {"train": "hangs", "prepare": "hangs", "tests": "hangs"}, seconds=6)
    found, said = statuses(lines), whys(lines)
    assert {found[name] for name in ("train", "tests", "prepare")} == {"stopped"}
    assert "tests again" not in found
    assert said["prepare again"] == said["train again"] == said["last"] == "no time was left"
    assert said["a"] == "prepare: not run"


def test_the_order_and_what_is_side_by_side(job: Job) -> None:
    """Preparations and the first block together; then one worker at a time."""
    schedule = Schedule(
        first=(Worker("w0", (step("first"),)),),
        beside=(Worker("w1", (step("beside"),)),),
        alone=(
            Worker("w2", (step("a1"), step("a2")), step("prepare 2", "prepare")),
            Worker("w3", (step("a3"),), step("prepare 3", "prepare")),
        ),
        last=(Worker("w4", (step("last"),), step("prepare 4", "prepare")),),
    )
    order = list(statuses(ran(schedule, job)))
    assert order[0] == "first"
    assert set(order[1:4]) == {"beside", "prepare 2", "prepare 3"}
    assert order[4:] == ["a1", "a2", "a3", "prepare 4", "last"]


def test_no_step_begins_when_the_time_is_over(job: Job) -> None:
    """A step that is going on is stopped at the end of the run, and the steps after it are reported all the same."""
    lines = ran(alone(step("a"), step("long", "hang_with_a_child"), step("b")), job, seconds=7)
    assert statuses(lines) == {"a": "done", "long": "stopped", "b": "not run"}
    assert whys(lines)["b"] == "no time was left"


def test_a_worker_ends_with_its_runner(job: Job) -> None:
    """A runner that was killed leaves nothing that holds a GPU."""
    from bench.suites.gpu.process import WorkerProcess
    from bench.suites.gpu.worker import Request

    process = WorkerProcess("orphan", job)
    process.ask(Request(worker="orphan", step="hang", call="gpu_step_helpers:hang_with_a_child"), 4)
    child = next(line.note["child"] for line in read(job.out / FILE)[0] if line.note)
    assert is_alive(child)
    assert process.popen.stdin is not None
    process.popen.stdin.close()  # as the system does when the runner ends
    assert process.popen.wait(10) == -9
    assert not is_alive(child)
    process.kill()
