"""Uploads that are interrupted leave no shard or a whole one."""

from __future__ import annotations

import socket
import socketserver
import threading
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import CheckFailed, ShardSet, UserError, write_shard
from shards.format.commit_bucket import finish_uploads, finished_in
from shards.storage.bucket import Bucket
from shards.tools.verify import verify


def test_upload_that_dies(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted before the sidecar, the shard does not count: it is named, and can be written again."""

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
    """A proxy in front of the S3 server that cuts every connection after `budget` bytes."""

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
    """The network fails after one of two megabytes: one error, no shard, and the next try writes it whole."""
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


def test_a_store_that_cannot_be_asked_is_not_an_empty_one(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming a run without a network must not make every shard again."""
    import s3fs

    assert finished_in(f"{bucket}/new", "set") == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match="check the address"):
        finished_in(bucket, "set")


def test_a_record_that_did_not_arrive_whole_is_left_alone(bucket: str) -> None:
    """The exchange had not begun, so the old shard counts; verification mentions the leftover."""
    sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    Bucket(bucket).write(".set-000000.json.next", sidecar.to_bytes()[:-5])
    assert finish_uploads(bucket) == []
    assert finished_in(bucket, "set")[0].sha256 == sidecar.sha256
    assert any("left by a killed writer" in note for note in verify(bucket).notes)
