"""One process at a time: the others wait, are refused after a while, and go on when the one before them died."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_helpers import call
from ends import contents
from process_helpers import in_child
from shards_helpers import items

from dermforge.common.errors import UserError
from shards import ShardSet, write_shard
from shards.storage.bucket import Bucket
from shards.storage.claim import claimed_set
from shards.storage.turn import turn
from shards.tools.purge import purge


def test_purges_of_a_folder_at_once_all_succeed(tmp_path: Path) -> None:
    """Each is recorded, and no other image is lost."""
    for index in range(2):
        write_shard(tmp_path, "set", index, items(4, f"s{index}"), classes=["macule", "nodule"])
    ids = ["s0-0001", "s0-0002", "s1-0000", "s1-0003"]
    children = []
    for key in ids:
        if (pid := os.fork()) == 0:
            try:
                purge(tmp_path, key)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    assert list(ShardSet.open(tmp_path).rows["id"]) == ["s0-0000", "s0-0003", "s1-0001", "s1-0002"]
    assert all((tmp_path / f"_purged.{key}.json").exists() for key in ids)


def test_a_living_one_refuses_and_a_dead_one_does_not(tmp_path: Path) -> None:
    with turn(tmp_path), pytest.raises(UserError, match="another process is changing"), turn(tmp_path, patience=0):
        pass

    def dies() -> None:
        with turn(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(dies) == -signal.SIGKILL
    with turn(tmp_path, patience=0):
        pass
    assert not list(tmp_path.iterdir())


def test_in_a_bucket_one_at_a_time(bucket: str) -> None:
    """Threads that want the turn at once never have it together."""
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        with turn(bucket):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1
            done += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (done, most) == (4, 1)


def test_in_a_bucket_the_turn_of_a_dead_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that is not written for `LEASE` seconds; one that is written goes on."""
    monkeypatch.setattr("shards.storage.turn.LEASE", 0.6)
    url = "memory://turns/dead"
    Bucket(url).write(".writer.000004.lock", b"1 abc 0")
    start = time.monotonic()
    with turn(url):
        assert time.monotonic() - start > 0.5
        assert list(Bucket(url).names()) == [".writer.000005.lock"]
        with pytest.raises(UserError, match="another process is changing"), turn(url, patience=1.5):
            pass
    with turn(url, patience=0):
        pass


def test_a_turn_that_another_process_takes_away_is_looked_for_again(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes next removes the turns before its own, also one that we have just seen in a list."""
    Bucket(bucket).write(".writer.000003.lock", b"over\n")
    read = Bucket.read_if_there

    def removed_meanwhile(self: Bucket, name: str) -> bytes | None:
        self.remove(".writer.000003.lock")
        return read(self, name)

    monkeypatch.setattr(Bucket, "read_if_there", removed_meanwhile)
    with turn(bucket, patience=5):
        assert list(Bucket(bucket).names()) == [".writer.000001.lock"]


@pytest.mark.parametrize(
    "line",
    [
        "shards select {data}/a --out {data}/b",
        "shards repair {data}/a --out {data}/b",
        "shards card {data}/b --license mit",
        "shards purge {data}/b --parent x",
    ],
)
def test_whoever_writes_a_set_takes_a_turn(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While another process writes there, nothing is changed, and the command says so."""
    monkeypatch.setattr("shards.storage.turn.PATIENCE", 0.0)
    for name in "ab":
        write_shard(tmp_path / name, "selected", 0, items(4), classes=["macule", "nodule"])
    (tmp_path / "b" / "_repaired.json").write_text("{}")
    with (tmp_path / "a" / "selected-000000.tar").open("r+b") as tar:
        tar.seek(600)
        tar.write(b"damage")
    before = contents(tmp_path / "b")
    with turn(tmp_path / "b"):
        assert call(line.format(data=tmp_path)) == 2
    assert f"another process is changing {tmp_path / 'b'}" in capsys.readouterr().err
    assert contents(tmp_path / "b") == before


def test_a_set_that_another_process_began_meanwhile_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found the folder empty; the second one looks again when it is its turn."""
    real = turn

    @contextmanager
    def after_another(location: Path) -> Iterator[None]:
        write_shard(location, "theirs", 0, items(2), classes=["macule", "nodule"])
        with real(location):
            yield

    monkeypatch.setattr("shards.storage.claim.turn", after_another)
    with pytest.raises(UserError, match="holds theirs-000000"), claimed_set(tmp_path / "out", "mine"):
        raise AssertionError
