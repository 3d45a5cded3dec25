"""A purge removes an image and its descendants, and can be interrupted anywhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from ends import ENDS, Trial, Warm, contents, is_temporary
from shards_helpers import CLASSES, items, write

from dermforge.common import id_ranges
from shards import CheckFailed, Provenance, ShardSet, finished, write_info, write_shard
from shards.format.interop import withdrawn_in
from shards.format.withdrawn import Withdrawn
from shards.storage.bucket import Bucket
from shards.storage.location import Folder
from shards.tools.croissant import Description, describe, table, to_bytes
from shards.tools.purge import purge
from shards.tools.repair import repair
from shards.tools.select import select
from shards.tools.verify import verify

RECORD = "_purged.s-0001.json"


def whole_files(folder: Path) -> dict[str, bytes]:
    """The files of a set, without temporary ones."""
    return {name: content for name, content in contents(folder).items() if not is_temporary(name)}


def timeless(name: str, content: bytes) -> bytes:
    """The record of a purge without its time, and the digest over it."""
    return re.sub(rb'"(at|digest)": ?"[^"]*"', b"", content) if name.startswith("_purged.") else content


@pytest.fixture(scope="module")
def purging(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A purge of a set with a description.

    Before its record nothing has changed; from then on the image is neither read nor written, and no other is lost.
    """
    before = tmp_path_factory.mktemp("set")
    write(before, 4)
    described(ShardSet.open(before))

    def valid(folder: Path) -> None:
        there = whole_files(folder)
        if RECORD not in there:
            assert there == trial.old
            return
        with pytest.raises(CheckFailed, match="withdrawn from"):
            write(folder, 4, replace=True)  # the advice for a damaged shard
        with suppress(CheckFailed):
            assert "s-0001" not in set(ShardSet.open(folder).rows["id"])
        with suppress(CheckFailed):
            assert {row.id for row in finished(folder, "set")[0].samples} == {"s-0000", "s-0002", "s-0003"}

    line = "shards purge {} --parent s-0001 --signed-off-by me"
    trial = Trial(warm, line, before, blank=timeless, between=[RECORD], valid=valid)
    assert not verify(trial.folder, deep=True, workers=1).faults
    assert not [name for name in trial.new if is_temporary(name)]
    return trial


@pytest.mark.parametrize("most", [6, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("end", ENDS)
def test_a_purge_that_ends_anywhere(purging: Trial, end: str, most: int | None) -> None:
    """The same call then gives the files of a purge that nothing disturbed."""
    assert purging.check(end, most) >= (most or 0.9 * purging.count(end))


def test_what_comes_back_is_purged_by_the_same_call(tmp_path: Path) -> None:
    """Shards put back from a copy are refused, and purged again: a grandchild too, though the child is gone."""
    write_shard(tmp_path / "a", "set", 0, items(1, "p", parent="patient"), classes=CLASSES)
    write_shard(tmp_path / "a", "set", 1, items(1, "q", parent="p-0000"), classes=CLASSES)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    purge(tmp_path / "a", "patient", "me")
    for path in (tmp_path / "copy").glob("set-000001.*"):
        shutil.copy(path, tmp_path / "a")
    with pytest.raises(CheckFailed, match=r"still holds 1 of the withdrawn images.*--parent patient"):
        ShardSet.open(tmp_path / "a")
    assert any("--parent patient" in fault for fault in verify(tmp_path / "a").faults)
    assert purge(tmp_path / "a", "patient", "someone else").rewritten == ["set-000001.tar"]
    assert ShardSet.open(tmp_path / "a").n == 0
    record = json.loads((tmp_path / "a" / "_purged.patient.json").read_text())
    assert record["removed"] == {"set-000000.tar": ["p-0000"], "set-000001.tar": ["q-0000"]}
    assert record["signed_off_by"] == "me"


def test_an_image_that_was_not_there_cannot_come_later(tmp_path: Path) -> None:
    """Neither it nor what is made from it; a shard of the same folder without it can."""
    write(tmp_path, 2)
    assert purge(tmp_path, "patient").removed == []
    with pytest.raises(CheckFailed, match="t-0000, which was withdrawn"):
        write_shard(tmp_path, "set", 1, items(2, "t", parent="patient"), classes=CLASSES)
    write_shard(tmp_path, "set", 1, items(2, "u"), classes=CLASSES)
    assert ShardSet.open(tmp_path).n == 4


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    """No flip of a bit in it is passed over: an image could come back."""
    write(tmp_path, 3)
    purge(tmp_path, "s-0001", "me")
    whole = (tmp_path / RECORD).read_bytes()
    for at in range(len(whole)):
        (tmp_path / RECORD).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CheckFailed, match="put it back from a copy"):
            ShardSet.open(tmp_path)
        assert verify(tmp_path).faults


def test_purge_takes_what_was_made_from_what_was_made(tmp_path: Path) -> None:
    """Children of children and the contact sheet are removed; a lineage range that covers the image is found."""
    chain = [
        (sample.model_copy(update={"parent": parent}), image, ext)
        for (sample, image, ext), parent in zip(
            items(5), ("phantom-0017-x", "s-0000", "s-0001", "phantom-0018-x", None), strict=True
        )
    ]
    lineage = ("phantom-[0010-0019]-x", id_ranges.unrecorded("derm.safetensors"))
    write_shard(tmp_path, "set", 0, chain, classes=CLASSES, provenance=Provenance(lineage=lineage))
    (tmp_path / "sheet.png").write_bytes(b"shows them")
    done = purge(tmp_path, "phantom-0017-x")
    assert [key for _, key in done.removed] == ["s-0000", "s-0001", "s-0002"]
    assert done.tuned == ["set-000000.tar"]
    assert done.unrecorded == ["derm.safetensors"]
    assert not (tmp_path / "sheet.png").exists()
    assert list(ShardSet.open(tmp_path).rows["id"]) == ["s-0003", "s-0004"]


class Killed(BaseException):
    """Not an Exception, so that no handler catches it."""


def dying_at(step: int, after: bool, body: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run up to the given change of the bucket; False if there are fewer changes."""
    import fsspec

    kind, calls = fsspec.get_filesystem_class("memory"), 0
    with monkeypatch.context() as broken:
        for name in ("pipe_file", "put_file", "cp_file", "rm_file"):
            real = getattr(kind, name)

            def stepped(*args: object, _real: Callable[..., object] = real, **more: object) -> object:
                nonlocal calls
                calls += 1
                mine = calls == step
                if mine and not after:
                    raise Killed
                try:
                    return _real(*args, **more)
                finally:
                    if mine:
                        raise Killed

            broken.setattr(kind, name, stepped)
        try:
            body()
        except Killed:
            return True
    return False


def described(data: ShardSet) -> None:
    """Write a Croissant description next to a set."""
    rows = table(data.rows)
    words = Description("n", "4 images of macule, nodule.", "l", "u", "1.0.0", "2026-01-01", "c")
    document = describe(data, rows, words)
    data.storage.write("samples.csv", rows)
    data.storage.write("croissant.json", to_bytes(document))


def test_a_purge_of_a_bucket_that_dies_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call finishes the purge after any interruption, and a run resumed in between never undoes it."""
    monkeypatch.setenv("DERMFORGE_CACHE", str(tmp_path))
    monkeypatch.setattr("shards.storage.turn.LEASE", 1.0)
    points, after = 0, False
    while True:
        points += 1
        url = f"memory://purged{after}{points}/set"
        before = write_shard(url, "set", 0, items(4), classes=CLASSES)
        described(ShardSet.open(url))
        if not dying_at(points, after, partial(purge, url, "s-0001"), monkeypatch):
            if after:
                break
            points, after = 0, True
            continue
        if RECORD in Bucket(url).names():
            with pytest.raises(CheckFailed, match="withdrawn from"):
                write_shard(url, "set", 0, items(4), classes=CLASSES, replace=True)
            with suppress(CheckFailed):
                assert {row.id for row in finished(url, "set")[0].samples} == {"s-0000", "s-0002", "s-0003"}
        else:
            assert finished(url, "set")[0].sha256 == before.sha256
            assert not verify(url, deep=True, workers=1).faults
        purge(url, "s-0001")
        assert list(ShardSet.open(url).rows["id"]) == ["s-0000", "s-0002", "s-0003"]
        assert not verify(url, deep=True, workers=1).faults
        place = Bucket(url)
        assert b"s-0001" in place.read("_purged.s-0001.json")
        assert b"s-0001" not in place.read("samples.csv")
        assert b"3 images of" in place.read("croissant.json")
        assert not [name for name in place.names() if name.endswith(".next")]
    assert points > 8


def test_purge_of_a_bucket(bucket: str, make_shards: Callable[..., Path]) -> None:
    """On S3 as in a folder; the local cache keeps nothing of the image."""
    for index in range(2):
        write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
    gone = b"p0-0002.png"
    assert sum(1 for _ in ShardSet.open(bucket).images()) == 8
    done = purge(bucket, "p0-0002", "me")
    assert (done.removed, done.rewritten) == ([("set-000000.tar", "p0-0002")], ["set-000000.tar"])
    data = ShardSet.open(bucket)
    assert data.n == 7
    assert not verify(bucket, deep=True, workers=1).faults
    assert isinstance(data.storage, Bucket)
    assert not [p for p in data.storage.cache.glob("*.tar") if gone in p.read_bytes()]
    assert purge(bucket, "p0-0002").removed == []


@pytest.mark.parametrize("known_by", ["_info.json", "set-000000.json"])
def test_a_record_that_was_removed_is_noticed(tmp_path: Path, known_by: str) -> None:
    """By every reader and writer of the set, as long as anything remembers the purge; the same purge brings it back."""
    write(tmp_path, 4)
    purge(tmp_path, "s-0001", "me")
    after = whole_files(tmp_path)
    (tmp_path / RECORD).unlink()
    if known_by != "_info.json":
        (tmp_path / "_info.json").unlink()
    said = rf"{known_by} says that s-0001 was withdrawn, and the record _purged.s-0001.json is missing"
    with pytest.raises(CheckFailed, match=said):
        ShardSet.open(tmp_path)
    with pytest.raises(CheckFailed, match=said):
        finished(tmp_path, "set")
    assert any(f"{known_by} says" in fault for fault in verify(tmp_path).faults)
    if known_by == "_info.json":
        with pytest.raises(CheckFailed, match=said):
            write(tmp_path, 4, replace=True)
        with pytest.raises(CheckFailed, match=said):
            purge(tmp_path, "s-0002")
        assert "s-0001" not in (tmp_path / "set-000000.tar").read_bytes().decode("latin-1")
    purge(tmp_path, "s-0001", "me")
    assert {name: c for name, c in whole_files(tmp_path).items() if name != RECORD} == {
        name: c for name, c in after.items() if name != RECORD
    }
    assert not verify(tmp_path, deep=True, workers=1).faults


@pytest.mark.parametrize("info", ["kept", "gone", "cut", "empty", "other letter"])
def test_a_set_is_not_cleared_while_anything_remembers_a_lost_record(tmp_path: Path, info: str) -> None:
    """`_info.json` may be lost together with the record, in any way: the sidecars of the set remember too."""
    write(tmp_path, 4)
    purge(tmp_path, "s-0001", "me")
    (tmp_path / RECORD).unlink()
    path = tmp_path / "_info.json"
    whole = path.read_bytes()
    damaged = {"cut": whole[:10], "empty": b"{}", "other letter": whole.replace(b'"withdrawn"', b'"withdrawm"')}
    path.unlink() if info == "gone" else path.write_bytes(damaged.get(info, whole))
    with pytest.raises(CheckFailed, match=r"s-0001 was withdrawn|is damaged"):
        Withdrawn.remembered(Folder(tmp_path))


def test_no_flip_of_a_description_that_remembers_is_silent(tmp_path: Path) -> None:
    write(tmp_path, 4)
    purge(tmp_path, "s-0001", "me")
    whole = (tmp_path / "_info.json").read_bytes()
    assert withdrawn_in(whole, "x") == {"s-0001"}
    for bit in range(0, 8 * len(whole), 3):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with suppress(CheckFailed):
            assert withdrawn_in(bytes(flipped), "x") == {"s-0001"} or not is_json(flipped)


def is_json(content: bytearray) -> bool:
    """What is none is refused by every reader of the set."""
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def test_a_whole_old_shard_is_not_called_whole_where_an_image_of_it_is_withdrawn(tmp_path: Path) -> None:
    write(tmp_path, 4)
    old = {name: (tmp_path / name).read_bytes() for name in ("set-000000.tar", "set-000000.json")}
    purge(tmp_path, "s-0001", "me")
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckFailed, match=r"still holds 1 of the withdrawn images"):
        repair(tmp_path, tmp_path.with_name("saved"))


def test_the_memory_of_a_purge_lasts(tmp_path: Path) -> None:
    """Also of one that removed nothing, when the description is written again, and in what is selected or uploaded."""
    write(tmp_path / "a", 2)
    purge(tmp_path / "a", "patient")
    write_info(tmp_path / "a")
    write_shard(tmp_path / "a", "set", 1, items(2, "t"), classes=CLASSES)
    select(ShardSet.open(tmp_path / "a"), tmp_path / "b", "set")
    select(ShardSet.open(tmp_path / "a"), "memory://remembered/set", "set")
    for folder in (tmp_path / "a", tmp_path / "b"):
        (folder / "_purged.patient.json").unlink()
        with pytest.raises(CheckFailed, match="says that patient was withdrawn"):
            ShardSet.open(folder)
        (folder / "_info.json").unlink()
        with pytest.raises(CheckFailed, match="says that patient was withdrawn"):
            ShardSet.open(folder)
    Bucket("memory://remembered/set").remove("_purged.patient.json")
    with pytest.raises(CheckFailed, match="says that patient was withdrawn"):
        ShardSet.open("memory://remembered/set")


def test_a_set_from_which_nothing_was_withdrawn_says_nothing_of_it(tmp_path: Path) -> None:
    """Its files have the bytes that they had before anybody thought of that."""
    write(tmp_path, 2)
    write_info(tmp_path)
    assert b"withdrawn" not in (tmp_path / "_info.json").read_bytes() + (tmp_path / "set-000000.json").read_bytes()
