"""`bench gpu`: rehearsed whole at tiny shapes, and with steps that are killed on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from bench.cli import PROGRAM
from bench.measure.device import describe
from bench.measure.record import higher, load
from bench.suites.gpu.first_run import first_run
from bench.suites.gpu.results import FILE, Job, Outcome, Plan, Report, Status, begin
from bench.suites.gpu.summary import outcomes, read_run
from dermforge.common.errors import CheckFailed, UserError

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it

NAMES = [step.name for step in first_run().steps]
#: A CPU does not multiply in these, and has no memory of its own.
SKIPPED = {f"matrix products in {p}" for p in ("fp16", "tf32", "fp8")} | {"our memory"}


def gpu(out: Path, *words: str) -> Result:
    return CliRunner().invoke(PROGRAM.app(), ["gpu", str(out), *words])


def ends(out: Path) -> dict[str, str]:
    """How each step ended when it was first tried."""
    found = outcomes(read_run(out)[0])
    return {name: outcome.status for name, outcome in found.items() if not name.endswith(" again")}


def test_a_rehearsal_goes_through_every_step(tmp_path: Path) -> None:
    """Every step is done or does not apply to a CPU; the results are a record like any other, and a table."""
    result = gpu(tmp_path / "out", "--rehearse")
    assert result.exception is None, result.output
    assert ends(tmp_path / "out") == {name: "skipped" if name in SKIPPED else "done" for name in NAMES}
    record = load(tmp_path / "out" / "gpu.json")
    names = {m.name.rpartition("/")[0] or m.name for m in record.measurements}
    assert {"step", "rows", "arithmetic", "share", "matmul", "start", "kernels/ours", "images/ours"} <= names
    assert {"sampler/ours", "images/diffusers", "images/diffusers compiled, batch 32", "speedup"} <= names
    same = [m for m in record.measurements if m.name.startswith("same images")]
    assert [m.median for m in same] == [1.0, 1.0]
    assert record.settings["rehearsal"] is True
    crowd = {m.name for m in record.measurements if m.details.get("side by side")}
    assert {"start/ours", "start/diffusers", "training/built-in UNet", "CUDA tests/passed"} == crowd
    assert "a rehearsal on a CPU: not to be quoted" in result.output
    weights = tmp_path / "out" / "builtin-unet.safetensors"
    assert weights.stat().st_mode == (tmp_path / "out" / "gpu.json").stat().st_mode
    assert "== our step" in (tmp_path / "out" / "logs.txt").read_text()
    shown = gpu(tmp_path / "out", "--show")
    assert f"steps: {len(NAMES) - len(SKIPPED)} done, {len(SKIPPED)} skipped" in shown.output


@pytest.mark.slow
@pytest.mark.parametrize("parity", [0, 1])
def test_each_step_is_killed_once_and_the_rest_is_measured(tmp_path: Path, parity: int) -> None:
    """The real steps: every other one dies in one run, and the others in another."""
    killed = NAMES[parity::2]
    faults = [word for name in killed for word in ("--fault", f"{name}=dies")]
    result = gpu(tmp_path / "out", "--rehearse", "--seconds", "3000", *faults)
    assert isinstance(result.exception, CheckFailed)
    assert all(f"{name} (died: of SIGKILL)" in str(result.exception) for name in killed)
    expected = {name: "skipped" if name in SKIPPED else "done" for name in NAMES}
    assert ends(tmp_path / "out") == expected | dict.fromkeys(killed, "died")
    assert load(tmp_path / "out" / "gpu.json").settings["steps"]["machine"] == ("died" if parity == 0 else "done")


def test_words_that_mean_nothing_are_refused_before_anything_runs(tmp_path: Path) -> None:
    for words, said in (
        (["--shapes", "sd9"], "unknown --shapes 'sd9'; expected sd15 or sd21-base"),
        (["--rehearse", "--fault", "our step=explodes"], "expected STEP=HOW with one of fails, hangs, dies"),
        (["--show"], "no gpu.jsonl in"),
    ):
        result = gpu(tmp_path / "out", *words)
        assert isinstance(result.exception, UserError)
        assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_command_says_what_works(tmp_path: Path) -> None:
    result = gpu(tmp_path / "out")
    assert isinstance(result.exception, UserError)
    assert "torch sees no CUDA device here; --rehearse" in str(result.exception)


def killed(folder: Path, *done: str, load_of_others: float = 0.0) -> Path:
    """What a run leaves that was killed after these of its three steps: a, b and, without which it is whole, c."""
    folder.mkdir()
    facts = describe(torch.device("cpu")).model_copy(update={"load": load_of_others, "device": "that one"})
    settings = {"shapes": "sd15", "rehearsal": False, "seconds": 540}
    begin(folder / FILE, Plan(facts=facts, settings=settings, steps=["a", "b", "c"], extras=["c"]))
    for step in done:
        report = Report(Job(out=folder, scratch=folder, shapes="sd15", rehearsal=False, begun=time.time()), step)
        report.measured(higher(f"rate/{step}", "rows/s", [3.0]))
        report.ended(Outcome(status="done", seconds=1))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("left", ["whole", "stopped", "only gpu.json"])
def test_results_are_never_written_over(tmp_path: Path, left: str) -> None:
    """Neither of a finished nor of a stopped run; one line says what is there."""
    out = killed(tmp_path / "out", "a", "b")
    if left != "stopped":
        gpu(out, "--show")
    if left == "only gpu.json":
        (out / FILE).unlink()
    before = content(out)
    result = gpu(out, "--rehearse")
    assert isinstance(result.exception, UserError)
    said = str(result.exception)
    assert f"{out} holds the results of a run on that one of 20" in said
    assert ("2 of 3 steps" in said) == (left != "only gpu.json")
    assert said.endswith(": choose another folder, or remove this one")
    assert content(out) == before


def test_of_two_runs_into_one_folder_one_begins(tmp_path: Path) -> None:
    plan = Plan(facts=describe(torch.device("cpu")), settings={}, steps=["a"], extras=[])

    def one(_: int) -> bool:
        try:
            begin(tmp_path / FILE, plan)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(8))) == 1
    assert [line.plan for line in read_run(tmp_path)[0]] == [plan]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_a_run_is_told_where_its_results_are(tmp_path: Path, sent: signal.Signals) -> None:
    """Not to run it again: that would be refused."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bench", "gpu", str(out), "--rehearse", "--fault", "machine=hangs"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        last = time.monotonic() + 60
        while not (out / FILE).exists() and time.monotonic() < last:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(sent)
        said = process.communicate(timeout=240)[1]
    assert process.returncode == 130
    assert f"stopped; the results so far are kept in {out / FILE}; `bench gpu {out} --show` prints them" in said
    assert "again" not in said
    assert set(load(out / "gpu.json").settings["steps"].values()) == {"missing"}


@pytest.mark.parametrize("done", [(), ("a",), ("a", "b"), ("a", "b", "c")])
def test_what_a_killed_run_found_is_shown_and_becomes_a_record(tmp_path: Path, done: tuple[str, ...]) -> None:
    """Without the step `machine` too: the plan knows the machine. Each step whose end is not there is named."""
    out = killed(tmp_path / "out", *done)
    result = gpu(out, "--show")
    lost = [step for step in "abc" if step not in done]
    assert isinstance(result.exception, CheckFailed) == bool(lost)
    if lost:
        named = "; ".join(f"{step} (missing: the run ended before)" for step in lost)
        assert str(result.exception) == f"{len(lost)} of 3 steps were not done: {named}"
        assert f"{len(lost)} missing" in result.output
    record = load(out / "gpu.json")
    assert [m.name for m in record.measurements] == [f"rate/{step}" for step in done]
    assert record.settings["steps"] == {step: "done" if step in done else "missing" for step in "abc"}
    assert (record.settings["shapes"], record.facts.device) == ("sd15", "that one")


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [("stopped", "done", True), ("stopped", "stopped", False), ("stopped", None, False), ("died", "done", False)],
)
def test_what_others_held_up_was_done_where_its_second_try_was(
    tmp_path: Path, first: Status, second: Status | None, whole: bool
) -> None:
    """A process that died is named even then: it should not have."""
    out = killed(tmp_path / "out", "b", "c")
    job = Job(out=out, scratch=out, shapes="sd15", rehearsal=False, begun=time.time())
    Report(job, "a").ended(Outcome(status=first, seconds=1))
    if second:
        Report(job, "a", again=True).ended(Outcome(status=second, seconds=1))
    assert (gpu(out, "--show").exception is None) == whole


@pytest.mark.parametrize(("load_of_others", "warned"), [(0.1, False), (0.5, True)])
def test_the_table_warns_of_the_load_of_others(tmp_path: Path, load_of_others: float, warned: bool) -> None:
    result = gpu(killed(tmp_path / "out", "a", "b", "c", load_of_others=load_of_others), "--show")
    assert result.exception is None
    assert ("other processes used 50% of the cores: do not quote these numbers" in result.output) == warned


@pytest.mark.parametrize("name", ["pydantic", "diffusers", "safetensors"])
def test_a_missing_package_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    """Whether the command itself needs it or only its steps do."""
    hide = f"import sys, importlib.util as u; sys.modules[{name!r}] = None; find = u.find_spec"
    hide += f"; u.find_spec = lambda n, *a: None if n == {name!r} else find(n, *a)"
    words = ["bench", "gpu", str(tmp_path / "out"), "--rehearse"]
    code = f"{hide}; sys.argv = {words!r}; from bench.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert name in done.stderr
    assert "docs/how-to/benchmarks.md lists" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
