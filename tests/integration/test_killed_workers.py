"""No worker of a killed command goes on alone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_helpers import importing_from
from process_helpers import is_alive
from study_helpers import BASE, generator
from training_helpers import SMALL

from shards import ShardSet

ROOT = Path(__file__).resolve().parents[2]
STUDY = "--arms none --n-real 2 --ratios 1 --seeds 2 --steps 2000 --batch 8 --n-boot 100 --workers 2"


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child} | descendants(child)
    return found


@pytest.mark.slow
def test_a_killed_study_leaves_no_worker_training(phantom_shards: Path, tmp_path: Path) -> None:
    generator(tmp_path / "made", "made", ShardSet.open(phantom_shards / "train").classes, (BASE,))
    line = f"--real {phantom_shards} --synthetic {tmp_path}/made --out {tmp_path}/study {STUDY}"
    command = [sys.executable, "-P", "-m", "evalsuite", "study", *line.split(), *SMALL]
    with subprocess.Popen(command, env=importing_from(ROOT), start_new_session=True) as study:
        end = time.monotonic() + 300
        while len(list((tmp_path / "study" / "arms").glob("*"))) < 2 and time.monotonic() < end:
            time.sleep(0.2)
        workers = descendants(study.pid)
        assert len(workers) >= 2
        assert study.poll() is None
        study.kill()
        study.wait()
        end = time.monotonic() + 20
        while any(map(is_alive, workers)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not any(map(is_alive, workers))
