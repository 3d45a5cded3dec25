"""Where a number was measured: device, versions, peak memory and the load of other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bench.measure import device
from bench.measure.device import PeakMemory, describe, load_of_others


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


def test_what_others_hold_does_not_count_as_added() -> None:
    """A peer's memory is its own, whoever else is open in the process."""
    others = torch.ones(64 << 20, dtype=torch.float32)  # 268 MB
    with PeakMemory(torch.device("cpu"), added=True) as added:
        torch.ones(32 << 20, dtype=torch.float32).sum()  # 134 MB
    assert 100 < added.megabytes < 200
    assert others.sum() > 0
