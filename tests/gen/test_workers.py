"""Many workers write one run: byte-identical whoever makes a shard, whoever dies, and a poisoned one is set aside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from engines import Engine
from gen import cells, grid, plan, run, workers
from gen.grid import Settings
from gen.plan import Plan
from gen.workers import Job
from shards import console, finished, write_shard
from shards.cloud import Bucket
from shards.errors import CheckFailed, UserError

TEMPLATE = "An image of {class}, {group} skin"
#: The command; a shell's background jobs, and so perhaps these tests, ignore Ctrl-C.
PROGRAM = """
import signal
from gen.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def rows(per_cell: int = 5, steps: int = 2) -> Plan:
    counts = cells.uniform(("plaque", "ulcer"), ("very_light", "dark"), per_cell)
    return plan.from_rows(grid.rows(Settings(size=64, steps=steps), TEMPLATE, counts))


def started(folder: Path, engine: Engine, made: Plan, shard_size: int = 4) -> run.RunRecord:
    record = run.describe(engine, made, "s", shard_size, "png", 95)
    run.open_run(folder, record, made)
    return record


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name.startswith("s-")}


@pytest.fixture(scope="module")
def whole(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run by one process."""
    folder, engine = tmp_path_factory.mktemp("whole"), open_engine()
    record = started(folder, engine, rows())
    Job(folder, bundles["text"], device="cpu").sample(run.todo(folder, record), engine)
    return folder


@pytest.fixture(scope="module")
def long(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run of 30 shards, so that one is always in progress when it is stopped."""
    folder, engine = tmp_path_factory.mktemp("long"), open_engine()
    record = started(folder, engine, rows(per_cell=30, steps=20))
    Job(folder, bundles["text"], device="cpu").sample(run.todo(folder, record), engine)
    return folder


def test_an_array_of_workers_writes_what_one_process_writes(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], whole: Path, tmp_path: Path
) -> None:
    """`--worker 0/3` to `2/3`, in any order."""
    engine = open_engine()
    record = started(tmp_path, engine, rows())
    parts = [run.todo(tmp_path, record, (index, 3)) for index in range(3)]
    assert sorted(shard for part in parts for shard in part) == list(range(record.shards))
    for part in reversed(parts):
        Job(tmp_path, bundles["text"], device="cpu").sample(part, engine)
    assert files(tmp_path) == files(whole)


def test_a_plan_changed_under_a_run_is_refused(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """By every worker before it makes a shard, with both digests: else shards of two plans would lie in one run."""
    engine, changed = open_engine(), rows(steps=3)
    record = started(tmp_path, engine, rows())
    (tmp_path / run.PLAN).write_bytes(changed.csv().encode())
    with pytest.raises(UserError, match=f"{changed.digest}.*{record.plan_digest}"):
        Job(tmp_path, bundles["text"], device="cpu").sample([0], engine)
    assert not files(tmp_path)


def test_a_run_keeps_its_number_of_threads(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """On a CPU another number sums in another order; records of before that was known are gone on with."""
    record = started(tmp_path, open_engine(), rows())
    assert record.threads == torch.get_num_threads()
    with pytest.raises(UserError, match=r"another threads: \d there, 99 now; go on with .* --threads"):
        run.open_run(tmp_path, record.model_copy(update={"threads": 99}), rows())
    old = record.model_dump(exclude={"threads"}) | {"schema_version": 1}
    (tmp_path / run.RECORD).write_text(json.dumps(old))
    run.open_run(tmp_path, record, rows())
    assert run.read(tmp_path) == record


def test_the_command_makes_goes_on_and_refuses(bundles: dict[str, Path], tmp_path: Path) -> None:
    """The user's road: sample, lose a shard, sample again; another plan is refused with both digests."""
    app = console.new_app("test")
    from gen.commands.sample import sample

    app.command()(sample)
    out = tmp_path / "out"

    def call(*more: str) -> str:
        result = CliRunner().invoke(
            app, ["--shards", str(out), "--engine", str(bundles["text"]), "--device", "cpu", "--steps", "2",
                  "--shard-size", "4", *more], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "8 images in 2 verified shards" in call("--per-cell", "2")
    assert (out / "sheet.png").stat().st_size > 1000
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    (out / "phantom-synthetic-000001.json").unlink()
    call("--per-cell", "2", "--json")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert "nothing to do" in call("--per-cell", "2")
    with pytest.raises(UserError, match=r"there, .* now"):
        call("--per-cell", "3")
    assert "12 images in 3 verified shards" in call("--per-cell", "3", "--fresh")
    with pytest.raises(UserError, match="gen build-engine"):
        call("--engine", str(tmp_path / "none"))
    with pytest.raises(UserError, match="expected I/N"):
        call("--worker", "3/3")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_stopped_run_loses_only_the_shard_in_progress(
    bundles: dict[str, Path], long: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """Killed without a chance to clean up, or asked to stop: what was committed stays, the rest comes out the same."""
    out = tmp_path / "out"
    command = [sys.executable, "-c", PROGRAM, "sample", "--shards", str(out), "--plan", str(long / run.PLAN),
               "--engine", str(bundles["text"]), "--device", "cpu", "--name", "s", "--shard-size", "4"]
    threads = ["--threads", str(run.read(long).threads)]
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


def objects(url: str) -> dict[str, bytes]:
    """The shards of a run in a bucket."""
    bucket = Bucket(url)
    return {name: bucket.read(name) for name in sorted(bucket.names()) if name.startswith("s-")}


def test_a_run_into_a_bucket_goes_on_where_the_network_died(
    bundles: dict[str, Path], bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made twice, nothing is lost, and the objects are what a folder would hold."""
    app = console.new_app("test")
    from gen import sampler
    from gen.commands.sample import sample

    app.command()(sample)
    made: list[int] = []

    def counted(location: object, name: str, index: int, *more: object, **options: object) -> object:
        sidecar = write_shard(location, name, index, *more, **options)  # type: ignore[arg-type]
        made.append(index)
        return sidecar

    def call(where: object, *more: str) -> str:
        planned = ["--steps", "2", *more] if more else []
        result = CliRunner().invoke(
            app, ["--shards", str(where), "--engine", str(bundles["text"]), "--device", "cpu", "--shard-size", "4",
                  "--name", "s", *planned], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def dies(self: Bucket, name: str, content: bytes) -> None:
        if name == "s-000001.json":
            raise ConnectionError("gone")
        whole(self, name, content)

    monkeypatch.setattr(sampler, "write_shard", counted)
    whole = Bucket.write
    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "write", dies)
        with pytest.raises(ConnectionError):
            call(bucket, "--per-cell", "3")
    assert made == [0]
    first = objects(bucket)
    assert "s-000001.tar" in first  # there, and not committed
    assert "12 images in 3 verified shards" in call(bucket, "--per-cell", "3")
    assert made == [0, 1, 2]
    call(tmp_path / "folder", "--per-cell", "3")
    assert objects(bucket) == files(tmp_path / "folder")
    assert all(objects(bucket)[name] == first[name] for name in ("s-000000.tar", "s-000000.json"))
    assert Bucket(bucket).read("sheet.png") == (tmp_path / "folder" / "sheet.png").read_bytes()
    assert "nothing to do" in call(bucket)  # the plan is in the bucket too
    with pytest.raises(UserError, match=r"there, .* now"):
        call(bucket, "--per-cell", "2")
    assert "8 images in 2 verified shards" in call(bucket, "--per-cell", "2", "--fresh")
    assert len(objects(bucket)) == 6


@pytest.mark.slow
def test_a_run_into_a_bucket_that_is_killed_loses_only_the_shard_in_progress(
    bundles: dict[str, Path], long: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the middle of thirty shards: what was committed stays as it is, nothing is left on this disk."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", PROGRAM, "sample", "--shards", bucket, "--plan", str(long / run.PLAN),
               "--engine", str(bundles["text"]), "--device", "cpu", "--name", "s", "--shard-size", "4"]
    threads = ["--threads", str(run.read(long).threads)]
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
    assert not list(tmp_path.glob("dermforge-spool-*"))


#: Not `importorskip`: Ray must be imported by the code that binds it to this machine.
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")


@needs_ray
@pytest.mark.slow
def test_ray_workers_survive_a_killed_actor(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """An actor is killed in the middle of a shard: it goes to another, and every byte is the same."""
    engine, made = open_engine(), rows(per_cell=20, steps=20)
    one, many = tmp_path / "one", tmp_path / "many"
    record = started(one, engine, made, shard_size=8)
    Job(one, bundles["text"], device="cpu").sample(run.todo(one, record), engine)
    started(many, engine, made, shard_size=8)
    killed: list[int] = []

    def kill_one(shard: int, images: int) -> None:
        if not killed and (busy := at_work()):
            os.kill(busy[0], signal.SIGKILL)
            killed.append(busy[0])

    job = Job(many, bundles["text"], device="cpu")
    outcome = workers.sample_on_ray(job, run.todo(many, record), 2, "local", 0, kill_one)
    assert killed
    assert len(outcome.retried) == 1  # it was in the middle of that one
    assert sorted(outcome.made) == list(range(record.shards))
    assert sum(outcome.made.values()) == len(made)
    assert outcome.quarantined == []
    assert files(one) == files(many)
    assert not list(many.glob(".*"))


def at_work() -> list[int]:
    """Processes of this one's actors that are making a shard; Ray names a process after the call that it serves."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            mine = _parent(_parent(int(folder.name))) == os.getpid()
            if mine and (folder / "cmdline").read_bytes().startswith(b"ray::_Worker.make"):
                found.append(int(folder.name))
    return found


def open_to_others() -> list[str]:
    """Addresses, beyond this machine's own, on which this process and all that it started listen."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = _parent(int(folder.name))
    mine, before = {os.getpid()}, 0
    while len(mine) > before:
        before = len(mine)
        mine |= {pid for pid, parent in parents.items() if parent in mine}
    sockets = set()
    for pid in mine:
        with contextlib.suppress(OSError):
            sockets |= {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for kind in ("tcp", "tcp6") for line in Path("/proc/net", kind).read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    assert listening, "Ray listens somewhere"
    local = ("0100007F:", "00000000000000000000000001000000:", "0000000000000000FFFF00000100007F:")
    return [address for address in listening if not address.startswith(local)]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


@needs_ray
@pytest.mark.slow
def test_a_poisoned_shard_is_set_aside_after_three_attempts(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """The rest is made; the summary names it and why. Nobody else on the network could have told Ray what to do."""
    exposed: list[str] = []
    record = started(tmp_path, open_engine(), rows())
    # Something that is no shard stands where the third one must go.
    (tmp_path / "s-000002.tar").mkdir()
    outcome = workers.sample_on_ray(Job(tmp_path, bundles["text"], device="cpu"), run.todo(tmp_path, record), 2,
                                    on_shard=lambda *_: exposed.extend(open_to_others()))
    assert exposed == []
    assert outcome.quarantined == [2]
    assert len(outcome.retried[2]) == 3
    assert "directory" in outcome.retried[2][0].lower()
    assert sorted(outcome.made) == [0, 1, 3, 4]


@needs_ray
@pytest.mark.slow
def test_workers_that_cannot_start_are_given_up_with_the_reason(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """A bundle that is not on the node, say: not three attempts at each of a thousand shards."""
    record = started(tmp_path, open_engine(), rows())
    with pytest.raises(CheckFailed, match=r"none made a shard.*nowhere"):
        workers.sample_on_ray(Job(tmp_path, tmp_path / "nowhere", device="cpu"), run.todo(tmp_path, record), 1)
