"""Faults during writing are reported, and no committed shard is lost."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ends import Trial, Warm, contents
from process_helpers import in_child
from shards_helpers import CLASSES, WHOLE, items, names, write

from dermforge.common import atomic
from shards import CheckFailed, ShardSet, ShardWriter, UserError, finished, write_shard
from shards.tools.verify import verify


def test_sigkill_at_every_step_of_the_writer(warm: Warm, tmp_path: Path) -> None:
    """A killed writer leaves no shard or a whole one; the next writer ends with the same bytes and no leftovers."""
    expected = write(tmp_path / "undisturbed")
    (tmp_path / "before").mkdir()

    def valid(folder: Path) -> None:
        if (folder / "set-000000.json").exists():
            assert not verify(folder, deep=True, workers=1).faults
        found = {i: s.sha256 for i, s in finished(folder, "set").items()}  # finishes what only lacked its sidecar
        assert found in ({}, {0: expected.sha256})
        if found:
            assert not verify(folder, deep=True, workers=1).faults

    trial = Trial(warm, "shards_helpers:write {}", tmp_path / "before", valid=valid)
    assert trial.new == contents(tmp_path / "undisturbed")
    assert sorted(trial.new) == WHOLE
    assert trial.check("SIGKILL") == trial.count("SIGKILL") > 10


def test_file_size_limit_leaves_nothing(tmp_path: Path) -> None:
    """EFBIG in the middle of a shard raises an error and leaves no file, temporary or final."""

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
    """A file in place of a folder, or an address where a folder is needed, is an error that says what to do."""
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="give another folder"):
        write(tmp_path / "a")
    with pytest.raises(UserError, match="s3://bucket/set is an address"):
        ShardWriter(Path("s3://bucket/set"), "set", 0, classes=CLASSES)
    assert not Path("s3:").exists()


def test_living_writers_are_not_swept(tmp_path: Path) -> None:
    """The temporary file of a living writer is kept; that of a dead writer is removed."""
    with atomic.Pending(tmp_path / "set-000000.tar") as file:
        atomic.sweep(tmp_path, "set-000000")
        assert file.path.exists()
    stale = tmp_path / ".set-000000.tar.dead.tmp"
    stale.write_bytes(b"x")
    assert atomic.leftovers(tmp_path) == [stale]
    write(tmp_path)
    assert names(tmp_path) == WHOLE


def test_duplicate_ids_are_refused(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """The writer refuses an id twice; the reader refuses an id in two shards."""
    same = items(1)
    with pytest.raises(UserError, match="only once"):
        write_shard(tmp_path, "set", 0, same + same, classes=CLASSES)
    assert names(tmp_path) == []
    write_shard(tmp_path, "set", 0, same, classes=CLASSES)
    write_shard(tmp_path, "set", 1, same, classes=CLASSES)
    with pytest.raises(CheckFailed, match=r"'s-0000' is in set-000000.tar and in set-000001.tar"):
        ShardSet.open(tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "..", "", "a\n", "a b", "\x1b[2J", "x" * 81])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    """Nothing is made, neither in the folder nor beside it."""
    with pytest.raises(UserError, match="cannot be called"):
        write_shard(tmp_path / "in" / "out", name, 0, items(2), classes=CLASSES)
    assert not list(tmp_path.iterdir())
