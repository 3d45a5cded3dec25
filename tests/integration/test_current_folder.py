"""Commands that start processes, each from a folder whose `gen.py`, `json.py` or `pickle.py` must not run."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import evil_folder
import pytest
from command_helpers import importing_from
from study_helpers import BASE, generator
from training_helpers import SMALL

from shards import ShardSet

ROOT = Path(__file__).resolve().parents[2]
STUDY = "--n-real 2 --ratios 1 --seeds 2 --steps 2 --batch 8 --n-boot 100 --workers 2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("gen phantoms {out}/new --per-cell 8 --test-per-cell 1", 0),
        ("shards verify {data}/train --deep --workers 2", 0),
        ("shards regenerate {data}/train --shard 0", 2),  # these are no run of gen sample: gen itself says so
        ("evalsuite study --real {data} --synthetic {out}/made --out {out}/study " + STUDY, 0),
        ("bench all --only shards --out {out}/bench --work {out}/work --quick", 0),
    ],
)
def test_no_module_of_the_current_folder_runs(line: str, status: int, phantom_shards: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    classes = ShardSet.open(phantom_shards / "train").classes
    generator(tmp_path / "out" / "made", "made", classes, (BASE,))
    evil_folder.plant(work, tmp_path / "marker")
    program, *words = shlex.split(line.format(out=tmp_path / "out", data=phantom_shards))
    more = SMALL if program == "evalsuite" else ()
    env = importing_from(ROOT) | {"OMP_NUM_THREADS": "1"}
    env.pop("PYTHONSAFEPATH", None)
    command = [str(Path(sys.executable).parent / program), *words, *more]
    done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, check=False, timeout=500)
    assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize("program", ["dermforge", "gen", "shards", "evalsuite", "bench"])
def test_no_module_of_the_current_folder_runs_in_a_program_started_as_a_module(program: str, tmp_path: Path) -> None:
    """Unless it is called as the program, or as a package on which the program's own first line rests."""
    work = tmp_path / "work"
    work.mkdir()
    evil_folder.plant(work, tmp_path / "marker")
    for name in {program, "dermforge"} if program in ("dermforge", "shards") else {program}:
        (work / f"{name}.py").unlink()
    env = importing_from(ROOT)
    env.pop("PYTHONSAFEPATH", None)
    command = [sys.executable, "-m", program, *(["gen"] if program == "dermforge" else []), "--help"]
    done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, check=False, timeout=200)
    assert not (tmp_path / "marker").exists(), (tmp_path / "marker").read_text()
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
