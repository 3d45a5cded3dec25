"""Many workers write one run: byte-identical whoever makes a shard, whoever dies, in a folder and in a bucket."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs_helpers import files, rows, started
from typer.testing import CliRunner

from dermforge.common import console
from dermforge.common.errors import UserError
from engines import Engine
from gen.sampling import run_record
from gen.sampling.workers import SamplingJob
from shards import Provenance, Sample, encode_image, finished, write_shard
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


@pytest.mark.parametrize("other", ["plan", "bundle"])
def test_a_shard_of_another_run_is_refused(open_engine: Callable[..., Engine], tmp_path: Path, other: str) -> None:
    """Copied into the folder, it would pass for made: the run would be of two plans, or of two models."""
    record = started(tmp_path, open_engine(), rows())
    digests = {"plan_digest": record.plan_digest, "bundle_digest": record.bundle_digest, f"{other}_digest": "b" * 64}
    image = encode_image(np.zeros((64, 64, 3), np.uint8))
    write_shard(
        tmp_path,
        record.name,
        0,
        [(Sample(id="a", origin="phantom", label="plaque"), image, "png")],
        classes=["plaque", "ulcer"],
        provenance=Provenance(**digests),
    )
    with pytest.raises(UserError, match=rf"s-000000.tar is of .*{other} {'b' * 64}"):
        run_record.todo(tmp_path, record)


def test_a_run_keeps_its_number_of_threads(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """On a CPU another number sums in another order; records of before that was known are gone on with."""
    record = started(tmp_path, open_engine(), rows())
    assert record.threads == torch.get_num_threads()
    with pytest.raises(UserError, match=r"another threads: \d there, 99 now; resume with .* threads"):
        run_record.open_run(tmp_path, record.model_copy(update={"threads": 99}), rows())
    old = record.model_dump(exclude={"threads"}) | {"schema_version": 1}
    (tmp_path / run_record.RECORD).write_text(json.dumps(old))
    run_record.open_run(tmp_path, record, rows())
    assert run_record.read(tmp_path) == record


def test_the_command_makes_goes_on_and_refuses(bundles: dict[str, Path], tmp_path: Path) -> None:
    """The user's road: sample, lose a shard, sample again; another plan is refused with both digests."""
    app = console.new_app("test")
    from gen.commands.sample import sample

    app.command()(sample)
    out = tmp_path / "out"

    def call(*more: str) -> str:
        result = CliRunner().invoke(
            app,
            [
                "--shards",
                str(out),
                "--engine",
                str(bundles["text"]),
                "--device",
                "cpu",
                "--steps",
                "2",
                "--shard-size",
                "4",
                *more,
            ],
            catch_exceptions=False,
        )
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
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "sample",
        "--shards",
        str(out),
        "--plan",
        str(long / run_record.PLAN),
        "--engine",
        str(bundles["text"]),
        "--device",
        "cpu",
        "--name",
        "s",
        "--shard-size",
        "4",
    ]
    threads = ["--threads", str(run_record.read(long).threads)]
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
    from gen.commands.sample import sample
    from gen.sampling import sampler

    app.command()(sample)
    made: list[int] = []

    def counted(location: object, name: str, index: int, *more: object, **options: object) -> object:
        sidecar = write_shard(location, name, index, *more, **options)  # type: ignore[arg-type]
        made.append(index)
        return sidecar

    def call(where: object, *more: str) -> str:
        planned = ["--steps", "2", *more] if more else []
        result = CliRunner().invoke(
            app,
            [
                "--shards",
                str(where),
                "--engine",
                str(bundles["text"]),
                "--device",
                "cpu",
                "--shard-size",
                "4",
                "--name",
                "s",
                *planned,
            ],
            catch_exceptions=False,
        )
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
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "sample",
        "--shards",
        bucket,
        "--plan",
        str(long / run_record.PLAN),
        "--engine",
        str(bundles["text"]),
        "--device",
        "cpu",
        "--name",
        "s",
        "--shard-size",
        "4",
    ]
    threads = ["--threads", str(run_record.read(long).threads)]
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
