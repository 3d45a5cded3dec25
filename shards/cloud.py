"""Shards in buckets (s3://, gs:// and what else fsspec knows), with a bounded local cache."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from shards.atomic import Pending, locked
from shards.commit import dali_index
from shards.errors import CheckFailed, UserError
from shards.schema import SHARD, Sidecar

#: Bytes of tars kept locally; DERMFORGE_CACHE_BYTES and DERMFORGE_CACHE change size and place.
CACHE_BYTES = 8 << 30
_CHUNK = 8 << 20


class Bucket:
    """A folder at an fsspec address; tars are fetched whole into the cache and read there."""

    #: A file that left the cache takes its room until it is closed.
    keep_open = 4

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._filesystem: tuple[int, Any] | None = None
        root = os.environ.get("DERMFORGE_CACHE") or str(Path(tempfile.gettempdir()) / "dermforge-cache")
        self.cache = Path(root) / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.limit = int(os.environ.get("DERMFORGE_CACHE_BYTES", CACHE_BYTES))

    @property
    def files(self) -> Any:
        """The fsspec file system, opened in each process anew: its connections do not survive a fork."""
        if self._filesystem is None or self._filesystem[0] != os.getpid():
            self._filesystem = os.getpid(), _filesystem(self.url)
        return self._filesystem[1]

    def names(self) -> dict[str, int]:
        with _asked(self.url):
            self.files.invalidate_cache()
            entries = self.files.ls(self.url, detail=True)
        return {e["name"].rsplit("/", 1)[-1]: int(e["size"] or 0) for e in entries if e["type"] == "file"}

    def read(self, name: str) -> bytes:
        with _asked(f"{self.url}/{name}"):
            return bytes(self.files.cat_file(f"{self.url}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        """Small files only; a bucket shows an object when it is whole."""
        with _asked(f"{self.url}/{name}"):
            self.files.pipe_file(f"{self.url}/{name}", content)

    def open(self, name: str) -> BinaryIO:
        """The cached copy of the object as it is now in the bucket; the oldest copies make room for a new one.

        Raises
        ------
        CheckFailed
            The download ended early.
        """
        address = f"{self.url}/{name}"
        self.cache.mkdir(parents=True, exist_ok=True)
        with _asked(address):
            size, version = int(self.files.info(address)["size"]), str(self.files.checksum(address))
            path = self.cache / f"{hashlib.sha256(version.encode()).hexdigest()[:16]}-{name}"
            with locked(self.cache):
                if not path.exists():
                    self._make_room(size)
                    with Pending(path, fsync=False) as file:
                        got = sum(file.write([chunk]) for chunk in self._chunks(address))
                        if got != size:
                            raise CheckFailed(f"{address} arrived with {got} of {size} bytes; read it again")
                        file.commit()
                os.utime(path)
                return path.open("rb", buffering=0)

    def digest(self, name: str) -> str:
        """sha256 of what the bucket gives back."""
        found = hashlib.sha256()
        with _asked(f"{self.url}/{name}"):
            for chunk in self._chunks(f"{self.url}/{name}"):
                found.update(chunk)
        return found.hexdigest()

    def _chunks(self, address: str) -> Iterator[bytes]:
        with self.files.open(address, "rb") as remote:
            while chunk := remote.read(_CHUNK):
                yield chunk

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


def upload(folder: Path, url: str, sidecar: Sidecar) -> None:
    """Copy one committed shard to a bucket; nothing there says that it exists before all of it does.

    Raises
    ------
    CheckFailed
        What arrived is not what was sent, or the bucket holds this shard with other content.
    """
    bucket = Bucket(url)
    if there := _committed(bucket, f"{sidecar.stem}.json"):
        if not there.sha256 or (there.sha256, there.bytes) != (sidecar.sha256, sidecar.bytes):
            raise CheckFailed(f"{url}/{sidecar.tar} is already there with other content (sha256 {there.sha256[:12]}, "
                              f"now {sidecar.sha256[:12]}); write to another address, or remove it and its sidecar")
        return
    with _asked(f"{bucket.url}/{sidecar.tar}"):
        bucket.files.put_file(str(folder / sidecar.tar), f"{bucket.url}/{sidecar.tar}")
        bucket.files.invalidate_cache()
        got = int(bucket.files.info(f"{bucket.url}/{sidecar.tar}")["size"])
    if got != sidecar.bytes:
        raise CheckFailed(f"{url}/{sidecar.tar} arrived with {got} of {sidecar.bytes} bytes; upload it again")
    if sidecar.sha256 and (digest := bucket.digest(sidecar.tar)) != sidecar.sha256:
        raise CheckFailed(f"{url}/{sidecar.tar} arrived with the sha256 {digest[:12]}, sent was "
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
    records = [n for n in sorted(names) if SHARD.match(n) and n.endswith(".json") and n[:-12] == name]
    found = [_committed(bucket, record) for record in records]
    return {sidecar.index: sidecar for sidecar in found if sidecar}


def _committed(bucket: Bucket, record: str) -> Sidecar | None:
    address = f"{bucket.url}/{record}"
    with _asked(address):
        try:
            bucket.files.invalidate_cache()
            sidecar = Sidecar.from_bytes(bucket.files.cat_file(address), address)
            size = int(bucket.files.info(f"{bucket.url}/{sidecar.tar}")["size"])
        except (FileNotFoundError, CheckFailed):
            return None
    return sidecar if size == sidecar.bytes else None


@contextmanager
def _asked(address: str) -> Iterator[None]:
    """What the store refuses becomes one line that names the address."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{address} is not there; expected a bucket folder that holds shards") from error
    except _refusals() as error:
        if getattr(error, "errno", None) == errno.ENOSPC:  # of the disk that holds the cache
            raise
        raise UserError(f"{address}: {error}; check the address, the credentials and the network, then run the same "
                        "command again") from error


def _refusals() -> tuple[type[Exception], ...]:
    """What the libraries raise that are loaded; not all of it is an OSError."""
    own = {"botocore.exceptions": "BotoCoreError", "google.auth.exceptions": "GoogleAuthError",
           "aiohttp": "ClientError"}
    return (OSError, *(getattr(sys.modules[module], name) for module, name in own.items() if module in sys.modules))


def _filesystem(url: str) -> Any:
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)[0]
    except ImportError as error:
        raise UserError(f"{url} needs {error.name}; install the extra: pip install 'dermforge[cloud]'") from error
    except ValueError as error:
        raise UserError(f"{url}: {error}; expected an address that fsspec knows, as s3://bucket/folder") from error
