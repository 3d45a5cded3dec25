"""A purge removes an image and its descendants, and can be interrupted anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from kill_helpers import kill_everywhere
from shards_helpers import CLASSES, items, write

from shards import Provenance, ShardSet, finished, write_shard
from shards.storage.bucket import Bucket
from shards.tools.croissant import Description, describe, table, to_bytes
from shards.tools.purge import purge
from shards.tools.verify import verify


def test_sigkill_at_every_step_of_a_purge(tmp_path: Path) -> None:
    """A killed purge is finished by the next call, and no other image is lost."""
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
    """A run that is resumed after a killed purge finds the old shard or the purged one, and makes neither again."""
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


def test_a_purge_that_goes_on_lists_what_went_before(tmp_path: Path) -> None:
    """The record keeps what an interrupted purge removed before."""
    for index, prefix in enumerate(("s", "t")):
        write_shard(tmp_path, "set", index, items(2, prefix, parent="patient"), classes=CLASSES)
        purge(tmp_path, "patient")
    removed = json.loads((tmp_path / "_purged.patient.json").read_text())["removed"]
    assert removed == {"set-000000.tar": ["s-0000", "s-0001"], "set-000001.tar": ["t-0000", "t-0001"]}


def test_purge_takes_what_was_made_from_what_was_made(tmp_path: Path) -> None:
    """Children of children and the contact sheet are removed; a lineage range that covers the image is found."""
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
    document = describe(data.sidecars, rows, words)
    data.storage.write("samples.csv", rows)
    data.storage.write("croissant.json", to_bytes(document))


def test_a_purge_of_a_bucket_that_dies_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call finishes the purge after any interruption, and a run resumed in between never undoes it."""
    monkeypatch.setenv("DERMFORGE_CACHE", str(tmp_path))
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
