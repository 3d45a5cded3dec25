"""What steps write: each line whole and at once, whatever it holds; half a line is counted and spoils no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from bench.measure.device import describe
from bench.measure.record import higher
from bench.suites.gpu.results import FILE, Job, Outcome, Report, read


def job(folder: Path) -> Job:
    return Job(out=folder, scratch=folder, shapes="tiny", rehearsal=True, begun=0.0)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Facts with missing values, measurements with details that are none, notes and ends."""
    report, facts = Report(job(tmp_path), "a"), describe(torch.device("cpu"))
    found = higher("rate", "rows/s", [1.5, 2.0], {"rows": 32, "dB": None, "same": True})
    report.facts(facts)
    report.measured(found)
    report.note(kernel="k", ms=1.0)
    report.ended(Outcome(status="stopped", seconds=3.0, why="at its limit of 3 s"))
    lines, damaged = read(tmp_path / FILE)
    assert damaged == 0
    assert [line.step for line in lines] == ["a"] * 4
    assert (lines[0].facts, lines[1].measurement, lines[2].note) == (facts, found, {"kernel": "k", "ms": 1.0})
    assert lines[3].outcome is not None
    assert lines[3].outcome.why == "at its limit of 3 s"


def test_a_step_that_is_done_again_has_other_names(tmp_path: Path) -> None:
    for again in (False, True):
        Report(job(tmp_path), "a", again=again).measured(higher("rate", "rows/s", [1.0]))
    lines, _ = read(tmp_path / FILE)
    assert [line.step for line in lines] == ["a", "a again"]
    assert [line.measurement.name for line in lines if line.measurement] == ["rate", "rate again"]


def test_half_a_line_is_counted(tmp_path: Path) -> None:
    report = Report(job(tmp_path), "a")
    report.note(n=1)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes() + b'{"at":1.0,"ste\n')
    report.note(n=2)
    lines, damaged = read(path)
    assert [line.note for line in lines] == [{"n": 1}, {"n": 2}]
    assert damaged == 1


def test_lines_of_many_writers_stay_apart(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: Report(job(tmp_path), str(n)).note(text="x" * 20_000), range(40)))
    lines, damaged = read(tmp_path / FILE)
    assert damaged == 0
    assert sorted(int(line.step) for line in lines) == list(range(40))
