"""Ray's actors write the same run: one that is killed starts again, a poisoned shard is set aside."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from runs_helpers import files, rows, started

from dermforge.common.errors import CheckFailed
from engines import Engine
from gen.sampling import run_record, workers
from gen.sampling.workers import SamplingJob

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
    SamplingJob(one, bundles["text"], device="cpu").sample(run_record.todo(one, record), engine)
    started(many, engine, made, shard_size=8)
    killed: list[int] = []

    def kill_one(shard: int, images: int) -> None:
        if not killed and (busy := at_work()):
            os.kill(busy[0], signal.SIGKILL)
            killed.append(busy[0])

    job = SamplingJob(many, bundles["text"], device="cpu")
    outcome = workers.sample_on_ray(job, run_record.todo(many, record), 2, "local", 0, kill_one)
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
    outcome = workers.sample_on_ray(
        SamplingJob(tmp_path, bundles["text"], device="cpu"),
        run_record.todo(tmp_path, record),
        2,
        on_shard=lambda *_: exposed.extend(open_to_others()),
    )
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
        workers.sample_on_ray(
            SamplingJob(tmp_path, tmp_path / "nowhere", device="cpu"), run_record.todo(tmp_path, record), 1
        )
