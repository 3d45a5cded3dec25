"""Buckets: as a folder, against a local S3 server; an upload that dies leaves nothing that counts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import CheckFailed, ShardSet, UserError
from shards.verify import verify

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")

from shards.cloud import Bucket, finished_in, write_shard_to  # noqa: E402


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    moto.start()
    yield f"http://127.0.0.1:{port}"
    moto.stop()


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new empty bucket, and a new cache."""
    import s3fs

    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_ENDPOINT_URL", endpoint),
                        ("AWS_DEFAULT_REGION", "us-east-1"), ("DERMFORGE_CACHE", str(tmp_path / "cache"))):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"b{abs(hash(tmp_path)) % 10**9}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}/set"


def test_write_read_verify(bucket: str) -> None:
    """What comes back is what was written, by the same classes as from a folder."""
    for index in range(2):
        write_shard_to(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
    data = ShardSet.open(bucket)
    assert [image for _, image in data.samples(verify=True)] == [i for p in (0, 1) for _, i, _ in items(4, f"p{p}")]
    assert not verify(bucket, deep=True, workers=1).faults
    assert sorted(finished_in(bucket, "set")) == [0, 1]


def test_upload_that_dies(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off before the sidecar, the shard does not count, is named, and is written again."""

    def dies(self: Bucket, name: str, content: bytes) -> None:
        raise ConnectionError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "write", dies)
        with pytest.raises(ConnectionError):
            write_shard_to(bucket, "set", 0, items(4), classes=CLASSES)
    assert finished_in(bucket, "set") == {}
    with pytest.raises(CheckFailed, match="has no sidecar"):
        ShardSet.open(bucket)
    write_shard_to(bucket, "set", 0, items(4), classes=CLASSES)
    assert ShardSet.open(bucket).n == 4


def test_torn_upload_is_found(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that arrives short is not committed."""
    files = Bucket(bucket).files

    def short(source: str, target: str) -> None:
        files.pipe_file(target, Path(source).read_bytes()[:-512])

    with monkeypatch.context() as broken:
        broken.setattr(files, "put_file", short)
        with pytest.raises(CheckFailed, match="arrived with"):
            write_shard_to(bucket, "set", 0, items(4), classes=CLASSES)
    assert finished_in(bucket, "set") == {}


def test_other_content_is_refused(bucket: str) -> None:
    """As in a folder: a committed shard is not replaced."""
    write_shard_to(bucket, "set", 0, items(4), classes=CLASSES)
    with pytest.raises(CheckFailed, match="other content"):
        write_shard_to(bucket, "set", 0, items(3), classes=CLASSES)


def test_cache_is_bounded(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streaming over more shards than fit reads them all and keeps only the last."""
    for index in range(3):
        sidecar = write_shard_to(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
    monkeypatch.setenv("DERMFORGE_CACHE_BYTES", str(sidecar.bytes))
    data = ShardSet.open(bucket)
    assert sum(1 for _ in data.images()) == 12
    assert isinstance(data.place, Bucket)
    assert [p.name for p in data.place.cache.iterdir() if p.suffix == ".tar"] == ["set-000002.tar"]


def test_nothing_there(bucket: str) -> None:
    with pytest.raises(UserError):
        ShardSet.open(bucket)
