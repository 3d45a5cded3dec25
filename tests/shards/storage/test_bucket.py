"""Buckets: as a folder, against a local S3 server; an upload that dies leaves nothing that counts."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import CheckFailed, ShardSet, Sidecar, UserError, write_shard
from shards.storage.staging import Staging
from shards.tools.verify import verify

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

from shards.format.commit_bucket import finished_in
from shards.storage.bucket import Bucket


def test_write_read_verify(bucket: str) -> None:
    """What comes back is what was written, by the same classes as from a folder."""
    for index in range(2):
        write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
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
            write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    assert finished_in(bucket, "set") == {}
    with pytest.raises(CheckFailed, match="has no sidecar"):
        ShardSet.open(bucket)
    write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    assert ShardSet.open(bucket).n == 4


class Throttle(socketserver.ThreadingTCPServer):
    """A proxy before the S3 server that cuts every connection once so many bytes have gone to the server."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, target: tuple[str, int], budget: int) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.target, self.budget = target, budget


class _Relay(socketserver.BaseRequestHandler):
    server: Throttle

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as upstream:
            back = threading.Thread(target=self._copy_back, args=(upstream,), daemon=True)
            back.start()
            while data := self.request.recv(1 << 16):
                self.server.budget -= len(data)
                if self.server.budget < 0:
                    return  # closes both ways, in the middle of the object
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)
            back.join(10)

    def _copy_back(self, upstream: socket.socket) -> None:
        try:
            while data := upstream.recv(1 << 16):
                self.request.sendall(data)
        except OSError:
            return


def test_connection_that_dies_in_the_middle(bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network goes after a megabyte of two: one line of error, no shard, and the next try writes it whole."""
    import s3fs

    host, port = endpoint.removeprefix("http://").split(":")
    large = [(s, image, ext) for s, image, ext in items(8, size=300)]
    assert sum(len(image) for _, image, _ in large) > 2_000_000
    with Throttle((host, int(port)), 1_000_000) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        with monkeypatch.context() as broken:
            broken.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_address[1]}")
            broken.setenv("AWS_MAX_ATTEMPTS", "1")
            broken.setattr(s3fs.S3FileSystem, "retries", 1)
            s3fs.S3FileSystem.clear_instance_cache()
            with pytest.raises(UserError, match=f"{bucket}.*check the address, the credentials and the network"):
                write_shard(bucket, "set", 0, large, classes=CLASSES)
        assert proxy.budget < 0
        proxy.shutdown()
    s3fs.S3FileSystem.clear_instance_cache()
    assert finished_in(bucket, "set") == {}
    sidecar = write_shard(bucket, "set", 0, large, classes=CLASSES)
    assert finished_in(bucket, "set")[0].sha256 == sidecar.sha256
    assert not verify(bucket, deep=True, workers=1).faults


def test_torn_upload_is_found(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that arrives short is not committed."""
    files = Bucket(bucket).files

    def short(source: str, target: str) -> None:
        files.pipe_file(target, Path(source).read_bytes()[:-512])

    with monkeypatch.context() as broken:
        broken.setattr(files, "put_file", short)
        with pytest.raises(CheckFailed, match="arrived with"):
            write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    assert finished_in(bucket, "set") == {}


def test_other_content_is_refused(bucket: str) -> None:
    """As in a folder: a committed shard is not replaced."""
    write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    with pytest.raises(CheckFailed, match="other content"):
        write_shard(bucket, "set", 0, items(3), classes=CLASSES)


def test_cache_is_bounded(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streaming over more shards than fit reads them all and keeps only the last."""
    for index in range(3):
        sidecar = write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES)
    monkeypatch.setenv("DERMFORGE_CACHE_BYTES", str(sidecar.bytes))
    data = ShardSet.open(bucket)
    assert sum(1 for _ in data.images()) == 12
    assert isinstance(data.place, Bucket)
    assert [p.name[17:] for p in data.place.cache.iterdir() if p.suffix == ".tar"] == ["set-000002.tar"]


def test_the_tar_that_was_used_last_stays_in_the_cache(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that fit, the one that is read again and again is not fetched again and again."""
    tars = [write_shard(bucket, "set", index, items(4, prefix=f"p{index}"), classes=CLASSES) for index in range(3)]
    monkeypatch.setenv("DERMFORGE_CACHE_BYTES", str(2 * max(sidecar.bytes for sidecar in tars)))
    place = Bucket(bucket)
    for index in (0, 1, 0, 2):
        place.open(tars[index].tar).close()
    assert sorted(p.name[17:] for p in place.cache.glob("*.tar")) == [tars[0].tar, tars[2].tar]


def test_nothing_there(bucket: str) -> None:
    with pytest.raises(UserError):
        ShardSet.open(bucket)


def test_the_commands_write_to_buckets(
    bucket: str, make_shards: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`select --out s3://` and `make --out s3://` as to a folder, with `_info.json`; what is there is not replaced."""
    from dermforge.common import console
    from shards.cli import PROGRAM

    def run(*words: object) -> int:
        monkeypatch.setattr("sys.argv", ["shards", *map(str, words)])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as done:
            console.run(PROGRAM.app())
        return int(done.value.code or 0)

    folder = make_shards(8, size=32)
    assert run("select", folder, "--out", bucket, "--class", "nodule", "--shard-size", 3) == 0
    assert run("verify", bucket, "--deep", "--workers", 1) == 0
    assert [s.n for s in ShardSet.open(bucket).sidecars] == [3, 1]
    assert "_info.json" in Bucket(bucket).names()
    assert run("select", folder, "--out", bucket, "--class", "nodule", "--shard-size", 3) == 0
    assert run("select", folder, "--out", bucket, "--class", "macule") == 1
    assert run("make", folder, "--out", f"{bucket}/real", "--split", "1,0,0") == 0
    assert ShardSet.open(f"{bucket}/real/train").n == 8
    assert {"_dropped.csv", "_made.json"} == set(Bucket(f"{bucket}/real").names())


def test_a_replaced_object_is_fetched_again(bucket: str) -> None:
    """The cache goes by the object's version, not by its name and size."""
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
    """Loader processes open connections of their own; what they read is what one process reads."""
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


def test_a_stale_index_is_found(bucket: str) -> None:
    sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    Bucket(bucket).write(f"{sidecar.stem}.idx", b"v1.2 0\n")
    assert any("is not the index" in fault for fault in verify(bucket, deep=True, workers=1).faults)


def test_a_store_that_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, an unknown kind of address: named, with what to check."""
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


def test_a_store_that_cannot_be_asked_is_not_an_empty_one(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on with a run while the network is away must not make every shard again."""
    import s3fs

    assert finished_in(f"{bucket}/new", "set") == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match="check the address"):
        finished_in(bucket, "set")


def test_the_next_writer_removes_what_a_killed_one_staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard is hundreds of megabytes; that of a writer at work stays."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if (pid := os.fork()) == 0:
        staging = Staging()
        (staging.path / "set-000000.tar").write_bytes(b"x")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) == 1
    with Staging() as mine, Staging() as other:
        assert sorted(tmp_path.iterdir()) == sorted([mine.root, other.root])
    assert not list(tmp_path.iterdir())


def test_addresses_that_were_taken_for_paths(bucket: str) -> None:
    """`Path("s3://b/x")` is s3:/b/x; commands that take paths read buckets all the same."""
    from shards import open_data

    sidecar: Sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    assert str(Path(bucket)) != bucket
    assert open_data(Path(bucket)).n == sidecar.n
    assert [s.tar for s in ShardSet.open(Path(bucket)).sidecars] == [sidecar.tar]
