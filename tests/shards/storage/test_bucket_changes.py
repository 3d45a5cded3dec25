"""Purging and repairing shards in a bucket: cut off anywhere, the same call goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import ShardSet, UserError, finished, write_shard
from shards.format.commit_bucket import finish_uploads, finished_in
from shards.storage.bucket import Bucket
from shards.tools.croissant import Description, describe, table, to_bytes
from shards.tools.purge import purge
from shards.tools.repair import repair
from shards.tools.verify import verify


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def dying_at(step: int, after: bool, body: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run until the given change of the bucket, and no further; False when there are fewer changes."""
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
    """Put Croissant's description beside a set."""
    rows = table(data.rows)
    words = Description("n", "4 images of macule, nodule.", "l", "u", "1.0.0", "2026-01-01", "c")
    document = describe(data.sidecars, rows, words)
    data.place.write("samples.csv", rows)
    data.place.write("croissant.json", to_bytes(document))


def test_a_purge_of_a_bucket_that_dies_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called again it goes on, whatever was changed last; and going on with the run in between never undoes it."""
    monkeypatch.setenv("DERMFORGE_CACHE", str(tmp_path))
    points, after = 0, False
    while True:
        points += 1
        url = f"memory://purged{after}{points}/set"
        before = write_shard(url, "set", 0, items(4), classes=CLASSES)
        described(ShardSet.open(url))
        if not dying_at(points, after, lambda url=url: purge(url, "s-0001"), monkeypatch):
            if after:
                break
            points, after = 0, True
            continue
        sidecar = finished(url, "set")[0]
        assert sidecar.sha256 == before.sha256 or {row.id for row in sidecar.samples} == {"s-0000", "s-0002", "s-0003"}
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
    """On S3 as in a folder; nothing of the image stays in this machine's cache."""
    for index in range(2):
        write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
    gone = b"p0-0002.png"
    assert sum(1 for _ in ShardSet.open(bucket).images()) == 8
    done = purge(bucket, "p0-0002", "me")
    assert (done.removed, done.rewritten) == ([("set-000000.tar", "p0-0002")], ["set-000000.tar"])
    data = ShardSet.open(bucket)
    assert data.n == 7
    assert not verify(bucket, deep=True, workers=1).faults
    assert isinstance(data.place, Bucket)
    assert not [p for p in data.place.cache.glob("*.tar") if gone in p.read_bytes()]
    assert purge(bucket, "p0-0002").removed == []


def test_repair_of_a_bucket(bucket: str) -> None:
    """What is whole in a torn object is saved to another address; the torn one stays as it is."""
    sidecar = write_shard(bucket, "set", 0, items(6), classes=CLASSES)
    place = Bucket(bucket)
    torn = bytearray(place.read(sidecar.tar))
    torn[sidecar.samples[2].offset + 10] ^= 1
    place.write(sidecar.tar, bytes(torn))
    with pytest.raises(UserError, match="give another one"):
        repair(bucket, f"{bucket}/")
    (result,) = repair(bucket, f"{bucket}/saved")
    assert (result.saved, result.lost) == (5, ["s-0002"])
    assert not verify(f"{bucket}/saved", deep=True, workers=1).faults
    assert b"s-0002" in Bucket(f"{bucket}/saved").read("_repaired.json")
    assert place.read(sidecar.tar) == bytes(torn)


def test_a_record_that_did_not_arrive_whole_is_left_alone(bucket: str) -> None:
    """The exchange had not begun, so the old shard is the shard; verification says what lies there."""
    sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    Bucket(bucket).write(".set-000000.json.next", sidecar.to_bytes()[:-5])
    assert finish_uploads(bucket) == []
    assert finished_in(bucket, "set")[0].sha256 == sidecar.sha256
    assert any("left by a killed writer" in note for note in verify(bucket).notes)
