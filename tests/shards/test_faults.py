"""Faults: each is impossible, repaired, or named; none is silent, and nothing verified is lost."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import CheckFailed, ShardSet, ShardWriter, Sidecar, UserError, atomic, finished, write_shard
from shards.commit import dali_index
from shards.repair import repair, salvage
from shards.rewrite import purge
from shards.unpacking import unpack
from shards.verify import verify

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


def write(folder: Path, n: int = 3, **more: object) -> Sidecar:
    return write_shard(folder, "set", 0, items(n), classes=CLASSES, **more)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


@pytest.mark.parametrize(("options", "message"), [
    ("size=32k", "No space left on device"), ("ro", "Read-only file system")])
def test_full_disk_and_read_only_folder(tmp_path: Path, options: str, message: str) -> None:
    """A real full disk and a real read-only mount give the system's error and leave nothing."""
    script = tmp_path / "write.py"
    script.write_text(MOUNTED.format(path=[os.getcwd(), str(Path(__file__).parent)]))
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


def test_truncation_at_every_block(tmp_path: Path) -> None:
    """A torn tar is named with both sizes; repair saves exactly the samples that are whole."""
    sidecar = write(tmp_path)
    tar = tmp_path / sidecar.tar
    content = tar.read_bytes()
    for size in range(0, len(content), 512):
        tar.write_bytes(content[:size])
        with pytest.raises(CheckFailed, match=f"has {size} bytes, its sidecar says {len(content)}.*repair"):
            ShardSet.open(tmp_path)
        assert verify(tmp_path).faults
        saved = [sample.id for sample, _, _ in salvage(content[:size], CLASSES)]
        ends = {row.id: max(at + n for at, n in row.members.values()) for row in sidecar.samples}
        assert saved == [key for key, end in ends.items() if end <= size]


def test_truncation_while_open(make_shards: Callable[..., Path]) -> None:
    """A tar that shrinks under an open reader raises; it does not end early."""
    folder = make_shards(4)
    data = ShardSet.open(folder)
    os.truncate(folder / data.sidecars[0].tar, 4096)
    with pytest.raises(CheckFailed, match="its sidecar says"):
        list(data.samples())


def test_any_flipped_byte_of_the_tar_is_found(tmp_path: Path) -> None:
    """Deep verification finds a flip anywhere; reading finds it in headers and images and names the member."""
    sidecar = write(tmp_path, 2)
    tar = tmp_path / sidecar.tar
    content = bytearray(tar.read_bytes())
    images = [range(at, at + n) for row in sidecar.samples for at, n in [row.members["png"]]]
    headers = [range(at - 512, at) for row in sidecar.samples for at, _ in row.members.values()]
    for at in range(0, len(content), 61):
        content[at] ^= 0x10
        tar.write_bytes(content)
        assert verify(tmp_path, deep=True, workers=1).faults
        if any(at in part for part in images + headers):
            with pytest.raises(CheckFailed, match=r"set-000000.tar is damaged: .*s-000[01]\."):
                list(ShardSet.open(tmp_path).samples(verify=True))
        content[at] ^= 0x10


def test_any_flipped_byte_of_the_sidecar_is_found(tmp_path: Path) -> None:
    """A sidecar is its own check."""
    record = tmp_path / f"{write(tmp_path, 1).stem}.json"
    content = bytearray(record.read_bytes())
    for at in range(len(content)):
        content[at] ^= 0x01
        with pytest.raises(CheckFailed, match=r"x.json"):
            Sidecar.from_bytes(bytes(content), "x.json")
        content[at] ^= 0x01


def test_repair_of_flipped_bytes(tmp_path: Path) -> None:
    """What a flip did not touch is saved into a new shard that verifies; what it did is listed."""
    sidecar = write(tmp_path / "a", 6)
    tar = tmp_path / "a" / sidecar.tar
    content = bytearray(tar.read_bytes())
    content[sidecar.samples[2].offset + 10] ^= 1  # a header
    content[sidecar.samples[4].members["png"][0] + 60] ^= 1  # an image
    tar.write_bytes(content)
    (result,) = repair(tmp_path / "a", tmp_path / "b")
    assert (result.saved, result.lost) == (4, ["s-0002", "s-0004"])
    assert not verify(tmp_path / "b", deep=True, workers=1).faults


def test_repair_of_a_shard_without_digests(tmp_path: Path) -> None:
    """What is whole by structure and can be decoded is saved, and it is said that no digest vouches for it."""
    sidecar = write(tmp_path / "a", 6, digests=False)
    os.truncate(tmp_path / "a" / sidecar.tar, sidecar.samples[4].offset + 100)
    (result,) = repair(tmp_path / "a", tmp_path / "b")
    assert (result.saved, result.lost, result.unchecked) == (4, ["s-0004", "s-0005"], 4)
    assert not verify(tmp_path / "b", deep=True, workers=1).faults


def test_purge_takes_what_was_made_from_what_was_made(tmp_path: Path) -> None:
    """Children of children go too, the contact sheet goes, and a lineage that names the image in a range is seen."""
    chain = [
        (sample.model_copy(update={"parent": parent}), image, ext) for (sample, image, ext), parent in
        zip(items(5), ("phantom-0017-x", "s-0000", "s-0001", "phantom-0018-x", None), strict=True)
    ]
    write_shard(tmp_path, "set", 0, chain, classes=CLASSES, lineage=["phantom-[0010-0019]-x"])
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


def test_uncommitted_tar_is_named(tmp_path: Path) -> None:
    """A tar without its commit record is not data."""
    write(tmp_path)
    (tmp_path / "set-000000.json").unlink()
    with pytest.raises(CheckFailed, match=r"set-000000.tar has no sidecar.*repair"):
        ShardSet.open(tmp_path)


def test_lost_tar_and_lost_pair_are_named(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """A missing tar is found by its sidecar, a missing pair by timm's `_info.json`."""
    folder = tmp_path / "x"
    shutil.copytree(make_shards(10), folder)
    (folder / "set-000001.tar").unlink()
    with pytest.raises(CheckFailed, match=r"set-000001\.tar is missing"):
        ShardSet.open(folder)
    (folder / "set-000001.json").unlink()
    with pytest.raises(CheckFailed, match=r"set-000001.tar is missing.*_info.json lists it"):
        ShardSet.open(folder)


def test_duplicate_ids_are_refused(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """The writer refuses a second one; the reader refuses one that is in two shards."""
    same = items(1)
    with pytest.raises(UserError, match="only once"):
        write_shard(tmp_path, "set", 0, same + same, classes=CLASSES)
    assert names(tmp_path) == []
    write_shard(tmp_path, "set", 0, same, classes=CLASSES)
    write_shard(tmp_path, "set", 1, same, classes=CLASSES)
    with pytest.raises(CheckFailed, match=r"'s-0000' is in set-000000.tar and in set-000001.tar"):
        ShardSet.open(tmp_path)


def forged(sidecar: Sidecar, **row: object) -> bytes:
    """A sidecar whose first row was changed, signed again: what a forger would write."""
    first = sidecar.samples[0].model_copy(update=row)
    return sidecar.model_copy(update={"samples": [first, *sidecar.samples[1:]]}).to_bytes()


@pytest.mark.parametrize("row", [
    {"id": "../../etc/passwd"}, {"id": "/etc/passwd"}, {"id": "a.b"}, {"bytes": 1 << 40}, {"offset": 512},
    {"members": {"cls": (512, 1), "json": (1536, 1), "pyd": (2560, 9)}},
    {"members": {"cls": (512, 1), "json": (1536, 1), "pkl": (2560, 9)}},
    {"members": {"cls": (512, 1), "png": (1536, 1)}}, {"members": {"cls": (512, 1), "json": (1536, 1), "png": (1, 9)}},
    {"members": {"cls": (512, 1), "json": (1536, 400), "png": (2560, 1 << 50)}},
])
def test_forged_sidecars_are_refused(tmp_path: Path, row: dict[str, object]) -> None:
    """Paths for names, pickles, missing members and enormous claims are refused before any tar is opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, on writing what it would not read
        content = forged(write(tmp_path), **row)
    with pytest.raises(CheckFailed, match="not a valid sidecar"):
        Sidecar.from_bytes(content, "x.json")


def test_other_members_have_no_place(tmp_path: Path) -> None:
    """A pickle slipped into a tar fits no sidecar: its bytes are not those of the listed members."""
    import io
    import tarfile

    sidecar = write(tmp_path)
    with tarfile.open(tmp_path / sidecar.tar, "a") as archive:
        info = tarfile.TarInfo("s-0002.pyd")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"bad"))
    if (tmp_path / sidecar.tar).stat().st_size == sidecar.bytes:
        assert any("does not end as an archive" in fault for fault in verify(tmp_path, deep=True, workers=1).faults)
    else:
        with pytest.raises(CheckFailed, match="sidecar says"):
            ShardSet.open(tmp_path)
    assert [sample.id for sample, _, _ in salvage((tmp_path / sidecar.tar).read_bytes(), CLASSES)] == [
        "s-0000", "s-0001", "s-0002"]


def test_json_that_disagrees_is_named(tmp_path: Path) -> None:
    """The record of a sample and the row of its sidecar must say the same."""
    sidecar = write(tmp_path, 1)
    row = sidecar.samples[0].model_copy(update={"group": "tan"})
    data = (tmp_path / sidecar.tar).read_bytes()[row.offset : row.offset + row.bytes]
    with pytest.raises(CheckFailed, match="says group 'light', the sidecar 'tan'"):
        unpack(data, row, "x.tar", True)


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


def test_index_matches_its_shard(tmp_path: Path) -> None:
    """A stale `.idx` would make DALI read other bytes; deep verification says so."""
    sidecar = write(tmp_path)
    index = tmp_path / f"{sidecar.stem}.idx"
    assert index.read_bytes() == dali_index(sidecar)
    index.write_bytes(index.read_bytes().replace(b" 512 ", b" 1024 "))
    assert any("is not the index" in fault for fault in verify(tmp_path, deep=True, workers=1).faults)
