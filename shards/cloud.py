"""Shards in buckets (s3://, gs:// and what else fsspec knows), with a bounded local cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from shards.atomic import Pending, locked
from shards.errors import CheckFailed, UserError
from shards.reader import SHARD
from shards.schema import Sample, Sidecar
from shards.writer import dali_index, write_shard

#: Bytes of tars kept locally; DERMFORGE_CACHE_BYTES and DERMFORGE_CACHE change size and place.
CACHE_BYTES = 8 << 30


class Bucket:
    """A folder at an fsspec address; tars are fetched whole into the cache and read there."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._filesystem: Any = None
        root = os.environ.get("DERMFORGE_CACHE") or str(Path(tempfile.gettempdir()) / "dermforge-cache")
        self.cache = Path(root) / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.limit = int(os.environ.get("DERMFORGE_CACHE_BYTES", CACHE_BYTES))

    @property
    def files(self) -> Any:
        """The fsspec file system, opened in each process anew."""
        if self._filesystem is None:
            self._filesystem = _filesystem(self.url)
        return self._filesystem

    def names(self) -> dict[str, int]:
        self.files.invalidate_cache()
        try:
            entries = self.files.ls(self.url, detail=True)
        except FileNotFoundError as error:
            raise UserError(f"{self.url} is not there; expected a bucket folder that holds shards") from error
        return {e["name"].rsplit("/", 1)[-1]: int(e["size"] or 0) for e in entries if e["type"] == "file"}

    def read(self, name: str) -> bytes:
        return bytes(self.files.cat_file(f"{self.url}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        """Small files only; a bucket shows an object when it is whole."""
        self.files.pipe_file(f"{self.url}/{name}", content)

    def fetch(self, name: str) -> Path:
        """The cached copy, downloaded if the bucket's has another size; the oldest make room for it."""
        self.cache.mkdir(parents=True, exist_ok=True)
        size = int(self.files.info(f"{self.url}/{name}")["size"])
        path = self.cache / name
        with locked(self.cache):
            if not path.exists() or path.stat().st_size != size:
                self._make_room(size)
                with Pending(path, fsync=False) as file, self.files.open(f"{self.url}/{name}", "rb") as remote:
                    while chunk := remote.read(8 << 20):
                        file.write([chunk])
                    file.commit()
        os.utime(path)
        return path

    def _make_room(self, size: int) -> None:
        held = sorted((p for p in self.cache.iterdir() if p.suffix == ".tar"), key=lambda p: p.stat().st_mtime)
        total = sum(p.stat().st_size for p in held)
        while held and total + size > self.limit:
            total -= held[0].stat().st_size
            held.pop(0).unlink()  # readers that have it open keep it

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_filesystem": None}

    def __str__(self) -> str:
        return self.url


def write_shard_to(
    url: str, name: str, index: int, items: Iterable[tuple[Sample, bytes, str]], *, classes: Sequence[str], **more: Any
) -> Sidecar:
    """`write_shard` to an fsspec address: built in a local spool, uploaded, checked, the sidecar last."""
    with tempfile.TemporaryDirectory(prefix="dermforge-spool-") as spool:
        sidecar = write_shard(Path(spool), name, index, items, classes=classes, fsync=False, **more)
        upload(Path(spool), url, sidecar)
    return sidecar


def upload(folder: Path, url: str, sidecar: Sidecar) -> None:
    """Copy one committed shard to a bucket; nothing there says that it exists before all of it does.

    Raises
    ------
    CheckFailed
        What arrived is not what was sent, or the bucket holds this shard with other content.
    """
    bucket = Bucket(url)
    there = finished_in(url, sidecar.name).get(sidecar.index) if bucket.files.exists(bucket.url) else None
    if there and (there.sha256, there.bytes) != (sidecar.sha256, sidecar.bytes):
        raise CheckFailed(f"{url}/{sidecar.tar} is already there with other content (sha256 {there.sha256[:12]}, now "
                          f"{sidecar.sha256[:12]}); write to another address, or remove it and its sidecar")
    if there:
        return
    target = f"{bucket.url}/{sidecar.tar}"
    bucket.files.put_file(str(folder / sidecar.tar), target)
    bucket.files.invalidate_cache()
    got = int(bucket.files.info(target)["size"])
    if got != sidecar.bytes:
        raise CheckFailed(f"{target} arrived with {got} of {sidecar.bytes} bytes; upload it again")
    digest = hashlib.sha256()
    with bucket.files.open(target, "rb") as remote:
        while chunk := remote.read(8 << 20):
            digest.update(chunk)
    if sidecar.sha256 and digest.hexdigest() != sidecar.sha256:
        raise CheckFailed(f"{target} arrived with the sha256 {digest.hexdigest()[:12]}, sent was "
                          f"{sidecar.sha256[:12]}; upload it again")
    bucket.write(f"{sidecar.stem}.idx", dali_index(sidecar))
    bucket.write(f"{sidecar.stem}.json", sidecar.to_bytes())


def finished_in(url: str, name: str) -> dict[int, Sidecar]:
    """The committed shards of a bucket by number, for resuming."""
    bucket = Bucket(url)
    try:
        names = bucket.names()
    except UserError:
        return {}
    result = {}
    for record in sorted(names):
        if SHARD.match(record) and record.endswith(".json") and record.rsplit("-", 1)[0] == name:
            try:
                sidecar = Sidecar.from_bytes(bucket.read(record), f"{url}/{record}")
            except CheckFailed:
                continue
            if names.get(sidecar.tar) == sidecar.bytes:
                result[sidecar.index] = sidecar
    return result


def _filesystem(url: str) -> Any:
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)[0]
    except ImportError as error:
        raise UserError(f"{url} needs {error.name}; install the extra: pip install 'dermforge[cloud]'") from error
    except ValueError as error:
        raise UserError(f"{url}: {error}; expected an address that fsspec knows, as s3://bucket/folder") from error
