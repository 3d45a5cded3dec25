"""A bucket holds shards as a folder does; tested against a local S3 server."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import ShardSet, UserError, write_shard
from shards.format.commit_bucket import finished_in
from shards.storage.bucket import Bucket
from shards.tools.verify import verify


def test_write_read_verify(bucket: str) -> None:
    """The same classes read a bucket and a folder."""
    for index in range(2):
        write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
    data = ShardSet.open(bucket)
    assert [image for _, image in data.samples(verify=True)] == [i for p in (0, 1) for _, i, _ in items(4, f"p{p}")]
    assert not verify(bucket, deep=True, workers=1).faults
    assert sorted(finished_in(bucket, "set")) == [0, 1]


def test_cache_is_bounded(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading more shards than fit works, and keeps only the last."""
    for index in range(3):
        sidecar = write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
    monkeypatch.setenv("DERMFORGE_CACHE_BYTES", str(sidecar.bytes))
    data = ShardSet.open(bucket)
    assert sum(1 for _ in data.images()) == 12
    assert isinstance(data.storage, Bucket)
    assert [p.name[17:] for p in data.storage.cache.iterdir() if p.suffix == ".tar"] == ["set-000002.tar"]


def test_the_tar_that_was_used_last_stays_in_the_cache(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that fit, the one that is read often stays."""
    tars = [write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES) for index in range(3)]
    monkeypatch.setenv("DERMFORGE_CACHE_BYTES", str(2 * max(sidecar.bytes for sidecar in tars)))
    place = Bucket(bucket)
    for index in (0, 1, 0, 2):
        place.open(tars[index].tar).close()
    assert sorted(p.name[17:] for p in place.cache.glob("*.tar")) == [tars[0].tar, tars[2].tar]


def test_nothing_there(bucket: str) -> None:
    with pytest.raises(UserError):
        ShardSet.open(bucket)


def test_a_replaced_object_is_fetched_again(bucket: str) -> None:
    """The cache is keyed by the object's version, not by its name and size."""
    sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    place = Bucket(bucket)
    with place.open(sidecar.tar) as file:
        before = file.read()
    flipped = before[:600] + b"\1" + before[601:]
    place.files.pipe_file(f"{bucket}/{sidecar.tar}", flipped)
    with Bucket(bucket).open(sidecar.tar) as file:
        assert file.read() == flipped
    assert any("sha256" in fault for fault in verify(bucket, deep=True, workers=1).faults)


def test_streams_read_buckets_in_worker_processes(bucket: str) -> None:
    """Loader processes open their own connections and read what one process reads."""
    from torch.utils.data import DataLoader

    from shards import MixedStream, Source

    for index in range(2):
        write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
    alone, forked = (
        [b.ids for b in DataLoader(MixedStream([Source(ShardSet.open(bucket), window=1)], 4), None, num_workers=n)]
        for n in (0, 2)
    )
    assert alone == forked
    assert len(alone) == 2


def test_a_store_that_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing server or an unknown kind of address is one error that says what to check."""
    import s3fs

    for name, value in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_MAX_ATTEMPTS", "1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match=r"s3://b/x: .*check the address"):
        ShardSet.open("s3://b/x")
    with pytest.raises(UserError, match="an address that fsspec knows"):
        ShardSet.open("nosuch://b/x")
    with pytest.raises(UserError, match=r"abfs://b/x: .*adlfs.*other stores the package named here"):
        ShardSet.open("abfs://b/x")


@pytest.mark.parametrize("level", ["root", "cache"])
def test_a_planted_link_in_place_of_the_cache_deletes_nothing(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """The default cache has a name that others can guess."""
    sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    monkeypatch.delenv("DERMFORGE_CACHE")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("DERMFORGE_CACHE_BYTES", "1")
    place, victim = Bucket(bucket), tmp_path / "victim"
    planted = victim if level == "cache" else victim / place.cache.name
    planted.mkdir(parents=True)
    for name in ("mine.tar", ".mine.tmp"):
        (planted / name).write_text("mine")
    link = place.root if level == "root" else place.cache
    link.parent.mkdir(exist_ok=True, mode=0o700)
    link.symlink_to(victim)
    with pytest.raises(UserError, match="is a link; expected a private folder"):
        place.open(sidecar.tar)
    assert sorted(p.name for p in planted.iterdir()) == [".mine.tmp", "mine.tar"]


def test_a_planted_link_in_the_cache_is_replaced(bucket: str, tmp_path: Path) -> None:
    """And the file that it leads to is neither read nor changed."""
    sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    place = Bucket(bucket)
    with place.open(sidecar.tar) as file:
        content = file.read()
    (tmp_path / "other").write_text("other")
    (copy,) = place.cache.glob("*.tar")
    copy.unlink()
    copy.symlink_to(tmp_path / "other")
    with place.open(sidecar.tar) as file:
        assert file.read() == content
    assert (tmp_path / "other").read_text() == "other"
