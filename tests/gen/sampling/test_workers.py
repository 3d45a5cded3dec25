"""Many workers write one run: the same bytes, whichever worker makes a shard or dies, in a folder and in a bucket."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs_helpers import files, objects, rows, started

from dermforge.common.errors import UserError
from engines import Engine
from gen.sampling import run_record, workers
from gen.sampling.workers import SamplingJob
from shards import finished
from shards.storage.bucket import Bucket

#: The command; a shell's background jobs, and so perhaps these tests, ignore Ctrl-C.
PROGRAM = """
import signal
from gen.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@pytest.fixture(scope="module")
def whole(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run by one process."""
    folder, engine = tmp_path_factory.mktemp("whole"), open_engine()
    record = started(folder, engine, rows())
    SamplingJob(folder, bundles["text"], device="cpu").sample(run_record.todo(folder, record), engine)
    return folder


@pytest.fixture(scope="module")
def long(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run of 30 shards, so that one is always in progress when it is stopped."""
    folder, engine = tmp_path_factory.mktemp("long"), open_engine()
    record = started(folder, engine, rows(per_cell=30, steps=20))
    SamplingJob(folder, bundles["text"], device="cpu").sample(run_record.todo(folder, record), engine)
    return folder


def sampling(run: Path, out: str | Path, bundle: Path) -> list[str]:
    """`gen sample` of the plan of a run, in a process of its own."""
    program = [sys.executable, "-c", PROGRAM, "sample", "--shards", str(out), "--plan", str(run / run_record.PLAN)]
    return [*program, *f"--engine {bundle} --device cpu --name s --shard-size 4".split()]


def test_an_actor_leaves_a_shard_that_is_there(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another actor committed it and died before it said so: made again on a GPU it may have other bytes."""
    record = started(tmp_path, open_engine(), rows())
    actor = workers._Worker(SamplingJob(tmp_path, bundles["text"], device="cpu"))
    assert actor.make(0) == record.images_in(0)
    before = files(tmp_path)
    monkeypatch.setattr(SamplingJob, "sample", lambda *_, **__: pytest.fail("made again"))
    assert actor.make(0) == record.images_in(0)
    assert files(tmp_path) == before


def test_an_array_of_workers_writes_what_one_process_writes(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], whole: Path, tmp_path: Path
) -> None:
    """`--worker 0/3` to `2/3`, in any order."""
    engine = open_engine()
    record = started(tmp_path, engine, rows())
    parts = [run_record.todo(tmp_path, record, (index, 3)) for index in range(3)]
    assert sorted(shard for part in parts for shard in part) == list(range(record.shards))
    for part in reversed(parts):
        SamplingJob(tmp_path, bundles["text"], device="cpu").sample(part, engine)
    assert files(tmp_path) == files(whole)


def test_a_plan_changed_under_a_run_is_refused(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """By every worker before it makes a shard, with both digests: else shards of two plans would lie in one run."""
    engine, changed = open_engine(), rows(steps=3)
    record = started(tmp_path, engine, rows())
    (tmp_path / run_record.PLAN).write_bytes(changed.csv().encode())
    with pytest.raises(UserError, match=f"{changed.digest}.*{record.plan_digest}"):
        SamplingJob(tmp_path, bundles["text"], device="cpu").sample([0], engine)
    assert not files(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_stopped_run_loses_only_the_shard_in_progress(
    bundles: dict[str, Path], long: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """Killed without a chance to clean up, or asked to stop: what was committed stays, the rest comes out the same."""
    out = tmp_path / "out"
    command = sampling(long, out, bundles["text"])
    record = run_record.read(long)
    assert record is not None
    threads = ["--threads", str(record.threads)]
    process = subprocess.Popen([*command, *threads], stderr=subprocess.PIPE, text=True)
    while not (out / "s-000001.json").exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(how)
    said = process.communicate(timeout=300)[1]
    kept = {name: data for name, data in files(out).items() if (out / name).with_suffix(".json").exists()}
    assert process.returncode == (-how if how == signal.SIGKILL else 130), said
    assert 2 <= len([name for name in kept if name.endswith(".tar")]) < 30
    if how != signal.SIGKILL:
        assert not [p for p in out.iterdir() if p.name.startswith(".")]
        assert "run the same command again" in said
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert files(out) == files(long)
    assert all(files(out)[name] == data for name, data in kept.items())
    assert not list(out.glob(".*"))


@pytest.mark.slow
def test_a_run_into_a_bucket_that_is_killed_loses_only_the_shard_in_progress(
    bundles: dict[str, Path], long: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the middle of thirty shards: what was committed stays as it is, nothing is left on this disk."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = sampling(long, bucket, bundles["text"])
    record = run_record.read(long)
    assert record is not None
    threads = ["--threads", str(record.threads)]
    process = subprocess.Popen([*command, *threads], stderr=subprocess.PIPE, text=True)
    while "s-000001.json" not in Bucket(bucket).names(missing_ok=True) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == -signal.SIGKILL, said
    kept = finished(bucket, "s")
    assert 2 <= len(kept) < 30
    made = Bucket(bucket)
    before = {sidecar.tar: str(made.files.info(f"{bucket}/{sidecar.tar}")["LastModified"]) for sidecar in kept.values()}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert objects(bucket) == files(long)
    made.files.invalidate_cache()
    assert before == {tar: str(made.files.info(f"{bucket}/{tar}")["LastModified"]) for tar in before}
    assert not list(tmp_path.glob("dermforge-staging-*"))
