"""Faults while shards are written: each is impossible or named; none is silent, and nothing verified is lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items, names, write

from dermforge.common import atomic
from shards import CheckFailed, Provenance, ShardSet, ShardWriter, UserError, finished, write_shard
from shards.tools.purge import purge
from shards.tools.verify import verify

#: Every call of the writer that changes the disk; it is killed before and after each.
STEPS = ("open", "writev", "fsync", "replace", "unlink")


def in_child(body: Callable[[], object]) -> int:
    """Run in a fork; the signal that ended it, or its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(step: int, after: bool, body: Callable[[], object]) -> bool:
    """Run in a fork that SIGKILLs itself at the given call; False when there are fewer calls."""

    def child() -> None:
        calls = 0
        for name in STEPS:
            real = getattr(os, name)

            def stepped(*args: object, _real: Callable[..., object] = real, **kwargs: object) -> object:
                nonlocal calls
                calls += 1
                mine = calls == step
                if mine and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = _real(*args, **kwargs)
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            setattr(os, name, stepped)
        body()

    return in_child(child) == -signal.SIGKILL


def kill_everywhere(body: Callable[[], object], prepare: Callable[[], object], check: Callable[[], object]) -> int:
    points = 0
    for after in (False, True):
        step = 1
        while True:
            prepare()
            if not killed_at(step, after, body):
                break
            check()
            step, points = step + 1, points + 1
    return points


WHOLE = ["set-000000.idx", "set-000000.json", "set-000000.tar"]


def test_sigkill_at_every_step_of_the_writer(tmp_path: Path) -> None:
    """A killed writer leaves no shard or a whole one, and the next one ends with the same bytes and no rubbish."""
    folder = tmp_path / "a"
    expected = write(tmp_path / "b")

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    def check() -> None:
        if (folder / "set-000000.json").exists():
            assert not verify(folder, deep=True, workers=1).faults
        found = {i: s.sha256 for i, s in finished(folder, "set").items()}  # finishes what only lacked its sidecar
        assert found in ({}, {0: expected.sha256})
        if found:
            assert not verify(folder, deep=True, workers=1).faults
        assert write(folder) == expected
        assert names(folder) == WHOLE
        assert not verify(folder, deep=True, workers=1).faults

    assert kill_everywhere(lambda: write(folder), prepare, check) > 20


def test_sigkill_at_every_step_of_a_purge(tmp_path: Path) -> None:
    """A purge that was killed goes on when it is called again; no other image is lost on the way."""
    folder, spare = tmp_path / "a", tmp_path / "b"
    write(spare, 4)

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(spare, folder)

    def check() -> None:
        purge(folder, "s-0001")
        assert list(ShardSet.open(folder).rows["id"]) == ["s-0000", "s-0002", "s-0003"]
        assert not verify(folder, deep=True, workers=1).faults
        assert b"s-0001" in (folder / "_purged.s-0001.json").read_bytes()

    assert kill_everywhere(lambda: purge(folder, "s-0001"), prepare, check) > 20


def test_a_purge_that_was_cut_off_is_not_undone(tmp_path: Path) -> None:
    """Going on with the run after a purge was killed finds the old shard or the purged one, never one to make again."""
    folder, spare = tmp_path / "a", tmp_path / "b"
    before = write(spare, 4)
    purged = {f"s-{i:04d}" for i in (0, 2, 3)}

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(spare, folder)

    def check() -> None:
        sidecar = finished(folder, "set")[0]
        assert sidecar.sha256 == before.sha256 or {row.id for row in sidecar.samples} == purged
        assert not verify(folder, deep=True, workers=1).faults

    assert kill_everywhere(lambda: purge(folder, "s-0001"), prepare, check) > 20


def test_file_size_limit_leaves_nothing(tmp_path: Path) -> None:
    """EFBIG in the middle of a shard: an error, and no file, temporary or final."""

    def child() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            write(tmp_path / "a", 8)
        except OSError as error:
            os._exit(error.errno or 1)

    assert in_child(child) == errno.EFBIG
    assert names(tmp_path / "a") == []


MOUNTED = """
import sys; sys.path[:0] = {path!r}
from pathlib import Path
from shards_helpers import CLASSES, items
from shards import write_shard
try:
    write_shard(Path(sys.argv[1]), "set", 0, items(60), classes=CLASSES)
except OSError as error:
    print(error.strerror, [p.name for p in Path(sys.argv[1]).iterdir()])
"""


@pytest.mark.parametrize(
    ("options", "message"), [("size=32k", "No space left on device"), ("ro", "Read-only file system")]
)
def test_full_disk_and_read_only_folder(tmp_path: Path, options: str, message: str) -> None:
    """A real full disk and a real read-only mount give the system's error and leave nothing."""
    script = tmp_path / "write.py"
    script.write_text(MOUNTED.format(path=[os.getcwd(), str(Path(__file__).parents[2] / "helpers")]))
    (tmp_path / "m").mkdir()
    mount = f"mount -t tmpfs -o {options} none {tmp_path}/m && exec {sys.executable} {script} {tmp_path}/m"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("this user may not mount")
    assert done.stdout.strip() == f"{message} []"


def test_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """The user's slip is one line that says what to do; so is an address where only a folder will do."""
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="give another folder"):
        write(tmp_path / "a")
    with pytest.raises(UserError, match="s3://bucket/set is an address"):
        ShardWriter(Path("s3://bucket/set"), "set", 0, classes=CLASSES)
    assert not Path("s3:").exists()


def test_a_purge_that_goes_on_lists_what_went_before(tmp_path: Path) -> None:
    """The record is what a patient is told: the second half must not forget the first."""
    for index, prefix in enumerate(("s", "t")):
        write_shard(tmp_path, "set", index, items(2, prefix, parent="patient"), classes=CLASSES)
        purge(tmp_path, "patient")
    removed = json.loads((tmp_path / "_purged.patient.json").read_text())["removed"]
    assert removed == {"set-000000.tar": ["s-0000", "s-0001"], "set-000001.tar": ["t-0000", "t-0001"]}


def test_purge_takes_what_was_made_from_what_was_made(tmp_path: Path) -> None:
    """Children of children go too, the contact sheet goes, and a lineage that names the image in a range is seen."""
    chain = [
        (sample.model_copy(update={"parent": parent}), image, ext)
        for (sample, image, ext), parent in zip(
            items(5), ("phantom-0017-x", "s-0000", "s-0001", "phantom-0018-x", None), strict=True
        )
    ]
    write_shard(tmp_path, "set", 0, chain, classes=CLASSES, provenance=Provenance(lineage=("phantom-[0010-0019]-x",)))
    (tmp_path / "sheet.png").write_bytes(b"shows them")
    done = purge(tmp_path, "phantom-0017-x")
    assert [key for _, key in done.removed] == ["s-0000", "s-0001", "s-0002"]
    assert done.tuned == ["set-000000.tar"]
    assert not (tmp_path / "sheet.png").exists()
    assert list(ShardSet.open(tmp_path).rows["id"]) == ["s-0003", "s-0004"]


def test_two_writers_of_one_shard(tmp_path: Path) -> None:
    """Writers of the same content race without harm: whoever is last, the files are the same."""
    children = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            status = 1
            try:
                write(tmp_path, 20)
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    assert names(tmp_path) == WHOLE
    assert not verify(tmp_path, deep=True, workers=1).faults


def test_two_writers_without_digests(tmp_path: Path) -> None:
    """Without digests the bytes themselves are compared: the same are left, others are refused."""
    write(tmp_path, digests=False)
    write(tmp_path, digests=False)
    with pytest.raises(CheckFailed, match="other content"):
        write_shard(tmp_path, "set", 0, items(3, group="tan"), classes=CLASSES, digests=False)
    assert names(tmp_path) == WHOLE
    verdict = verify(tmp_path, deep=True, workers=1)
    assert (verdict.faults, len(verdict.notes)) == ([], 1)


def test_changed_plan_does_not_replace_a_shard(tmp_path: Path) -> None:
    """A committed shard is never overwritten with other content; both digests are shown."""
    before = write(tmp_path)
    with pytest.raises(CheckFailed, match=f"other content.*{before.sha256[:12]}"):
        write_shard(tmp_path, "set", 0, items(4), classes=CLASSES)
    assert [s.sha256 for s in ShardSet.open(tmp_path).sidecars] == [before.sha256]
    assert names(tmp_path) == WHOLE


def test_living_writers_are_not_swept(tmp_path: Path) -> None:
    """The temporary file of a writer at work stays; that of a dead one goes."""
    with atomic.Pending(tmp_path / "set-000000.tar") as file:
        atomic.sweep(tmp_path, "set-000000")
        assert file.path.exists()
    stale = tmp_path / ".set-000000.tar.dead.tmp"
    stale.write_bytes(b"x")
    assert atomic.leftovers(tmp_path) == [stale]
    write(tmp_path)
    assert names(tmp_path) == WHOLE
