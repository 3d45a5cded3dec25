"""Records: what was measured comes back as it was, and a wrong file is named."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench.measure import device
from bench.measure.device import PeakMemory, describe, load_of_others
from bench.measure.record import Measurement, Record, load, number, records, save, show
from dermforge.common import console
from dermforge.common.errors import UserError


def a_record(command: str = "engine") -> Record:
    found = [Measurement(name="whole/ours", unit="images/s", better="higher", samples=[10.0, 11.0, 12.0])]
    return Record(command=command, facts=describe(torch.device("cpu")), measurements=found)


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    """Every sample is kept: a comparison needs more than the median."""
    record = a_record()
    assert load(save(record, tmp_path)) == record
    assert [r.command for r in records(tmp_path)] == ["engine"]


@pytest.mark.parametrize("content", ["", "{}", '{"schema_version": 2}', "[1]"])
def test_another_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    """A user who gives the wrong JSON is told which and what was expected."""
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"x\.json is not a result of bench"):
        load(tmp_path / "x.json")


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    """The remedy is a command."""
    with pytest.raises(UserError, match="bench all --out"):
        records(tmp_path)


def test_facts_name_the_device_and_the_versions() -> None:
    """A number without its machine is worth nothing."""
    facts = describe(torch.device("cpu"))
    assert facts.device
    assert facts.versions["torch"] == torch.__version__.split("+")[0]
    assert facts.cores >= 1
    assert facts.commit


def test_peak_memory_sees_what_was_taken_and_given_back() -> None:
    """The peak of a block, not of the process's whole life."""
    with PeakMemory(torch.device("cpu")) as small:
        pass
    with PeakMemory(torch.device("cpu")) as large:
        torch.ones(64 << 20, dtype=torch.float32).sum()  # 268 MB
    assert 200 < large.megabytes - small.megabytes < 400


def test_no_two_names_look_alike_on_a_narrow_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich would cut both to the same first letters; the whole name must stand there, on two lines if need be."""
    text = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=text, width=60))
    names = [f"train/test_resnet_with_a_long_name/{who}" for who in ("bare", "ours")]
    record = a_record().model_copy(
        update={
            "measurements": [
                Measurement(name=name, unit="training images/s", samples=[1.0], details={"parameters": 9})
                for name in names
            ]
        }
    )
    show(record)
    column = "".join(line.split("│")[1].strip() for line in text.getvalue().splitlines() if line.startswith("│"))
    assert column == "".join(names)


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "not enough data"), (0.5, "0.5"), (12345.6, "12,346"), (1e-5, "1.000e-05"), (0.0, "0")],
)
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    """Undefined is said in words, never as 0."""
    assert number(value) == text


def test_load_is_that_of_others() -> None:
    """What this process did itself is no reason not to quote its numbers; what another does is."""
    spin = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", spin]) as other:
        try:
            time.sleep(0.2)
            busy = load_of_others(1.0)
        finally:
            other.kill()
    assert busy * len(os.sched_getaffinity(0)) > 0.3


def test_own_work_is_not_counted_as_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of 1.0 s that one of the cores was busy, 0.7 s were this process's."""
    stat, core = tmp_path / "stat", min(os.sched_getaffinity(0))
    ticks = os.sysconf("SC_CLK_TCK")
    stat.write_text(f"cpu 0\ncpu{core} 0 0 0 500 7 0 0 0 0 0\n")
    monkeypatch.setattr(device, "STAT", stat)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {core})
    own = iter([5.0, 5.7])
    monkeypatch.setattr(time, "process_time", lambda: next(own))
    monkeypatch.setattr(time, "sleep", lambda s: stat.write_text(f"cpu{core} {ticks} 0 0 900 9 0 0 0 0 0\n"))
    assert device.load_of_others(1.0) == pytest.approx(0.3)
