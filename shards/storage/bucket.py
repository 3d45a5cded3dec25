"""Shards in buckets (s3://, gs:// and other addresses that fsspec knows), with a bounded local cache."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from dermforge.common.atomic import Pending, locked, sweep
from dermforge.common.digests import digest_bytes
from dermforge.common.errors import CheckFailed, UserError, first_line
from dermforge.common.extras import how_to_install
from dermforge.common.private_folder import private_folder
from dermforge.common.texts_as_values import bytes_from_environment

#: Size of the local cache in bytes; DERMFORGE_CACHE_BYTES and DERMFORGE_CACHE change its size and its folder.
CACHE_BYTES = 8 << 30
_CHUNK = 8 << 20


class Bucket:
    """A folder at an fsspec address; tars are downloaded whole into the cache and read there."""

    #: Few: a file that was removed from the cache uses disk space until it is closed.
    keep_open = 4

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._filesystem: tuple[int, Any] | None = None
        self.root = Path(os.environ.get("DERMFORGE_CACHE") or _own_folder())
        self.cache = self.root / digest_bytes(self.url.encode())[:16]
        self.limit = bytes_from_environment("DERMFORGE_CACHE_BYTES", CACHE_BYTES)

    @property
    def files(self) -> Any:
        """The fsspec file system, opened again in each process: its connections do not survive a fork."""
        if self._filesystem is None or self._filesystem[0] != os.getpid():
            self._filesystem = os.getpid(), _filesystem(self.url)
        return self._filesystem[1]

    def names(self, missing_ok: bool = False) -> dict[str, int]:
        with asked(self.url):
            self.files.invalidate_cache()
            try:
                entries = self.files.ls(self.url, detail=True)
            except FileNotFoundError:
                if missing_ok:
                    return {}
                raise
        return {e["name"].rsplit("/", 1)[-1]: int(e["size"] or 0) for e in entries if e["type"] == "file"}

    def read(self, name: str) -> bytes:
        with asked(f"{self.url}/{name}"):
            return bytes(self.files.cat_file(f"{self.url}/{name}"))

    def read_if_there(self, name: str) -> bytes | None:
        """The content of a small file that another process may remove; None if it did."""
        with asked(f"{self.url}/{name}"), suppress(FileNotFoundError):
            return bytes(self.files.cat_file(f"{self.url}/{name}"))
        return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; a bucket shows an object only once it is whole."""
        with asked(f"{self.url}/{name}"):
            self.files.pipe_file(f"{self.url}/{name}", content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file if there is none of that name; whether there was none."""
        with asked(f"{self.url}/{name}"):
            try:
                self.files.pipe_file(f"{self.url}/{name}", content, mode="create")
            except FileExistsError:
                return False
        return True

    def remove(self, name: str) -> None:
        """Remove the object, and every copy of it in the local cache."""
        with asked(f"{self.url}/{name}"), suppress(FileNotFoundError):
            self.files.rm_file(f"{self.url}/{name}")
        self.forget(name)

    def put(self, path: Path, name: str) -> None:
        """Upload a file of any size.

        Raises
        ------
        CheckFailed
            The object has another size than the file.
        """
        with asked(f"{self.url}/{name}"):
            self.files.put_file(str(path), f"{self.url}/{name}")
            self.files.invalidate_cache()
            got = int(self.files.info(f"{self.url}/{name}")["size"])
        if got != (sent := path.stat().st_size):
            raise CheckFailed(f"{self.url}/{name} arrived with {got} of {sent} bytes; upload it again")

    def move(self, old: str, new: str) -> None:
        """Rename an object inside the bucket, replacing one that has the new name."""
        with asked(f"{self.url}/{old}"), suppress(FileNotFoundError):  # another process moved it first
            self.files.cp_file(f"{self.url}/{old}", f"{self.url}/{new}")
        self.remove(old)
        self.forget(new)

    def forget(self, name: str) -> None:
        """Remove the cached copies of an object; a reader that has one open can still read it."""
        for path in self.cache.glob(f"*-{name}"):
            path.unlink(missing_ok=True)

    def open(self, name: str) -> BinaryIO:
        """Open the cached copy of the current object; the copies that were used longest ago make room for a new one.

        Raises
        ------
        CheckFailed
            The download ended early.
        """
        address = f"{self.url}/{name}"
        for folder in (self.root, self.cache) if self.root == _own_folder() else (self.cache,):
            private_folder(folder, "remove it, or name another folder in DERMFORGE_CACHE")
        with asked(address):
            size, version = int(self.files.info(address)["size"]), str(self.files.checksum(address))
            path = self.cache / f"{digest_bytes(version.encode())[:16]}-{name}"
            with locked(self.cache):
                if path.is_symlink() or not path.exists():
                    sweep(self.cache, "")
                    self._make_room(size)
                    with Pending(path, fsync=False) as file:
                        got = sum(file.write([chunk]) for chunk in self._chunks(address))
                        if got != size:
                            raise CheckFailed(f"{address} arrived with {got} of {size} bytes; read it again")
                        file.commit()
                os.utime(path)
                return path.open("rb", buffering=0)

    def digest(self, name: str) -> str:
        """sha256 of the object, downloaded again."""
        found = hashlib.sha256()
        with asked(f"{self.url}/{name}"):
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
            held.pop(0).unlink()  # a reader that has it open can still read it

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_filesystem": None}

    def __str__(self) -> str:
        return self.url


def _own_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"dermforge-cache-{os.geteuid()}"


@contextmanager
def asked(address: str) -> Iterator[None]:
    """Turn the errors of a store into a `UserError` that names the address."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{address} does not exist; check the names of the bucket and of the folder in it") from error
    except _refusals() as error:
        if getattr(error, "errno", None) == errno.ENOSPC:  # the disk with the cache is full
            raise
        raise UserError(
            f"{address}: {error}; check the address, the credentials and the network, then run the same command again"
        ) from error


def _refusals() -> tuple[type[Exception], ...]:
    """The error classes of the libraries that are loaded; some are no OSError."""
    own = {
        "botocore.exceptions": "BotoCoreError",
        "google.auth.exceptions": "GoogleAuthError",
        "aiohttp": "ClientError",
    }
    return (OSError, *(getattr(sys.modules[module], name) for module, name in own.items() if module in sys.modules))


@cache
def _reset_fsspec_in_forks() -> None:
    """fsspec before 2025.3.2 waits for ever in a forked process, for a thread that only its parent has."""
    from fsspec.asyn import reset_lock

    os.register_at_fork(after_in_child=reset_lock)


def _filesystem(url: str) -> Any:
    try:
        import fsspec

        _reset_fsspec_in_forks()
        # Buckets need no folders; the local file system creates them with this option.
        options = {"auto_mkdir": True} if url.startswith(("file://", "local://")) else {}
        return fsspec.core.url_to_fs(url, **options)[0]
    except ImportError as error:
        reason = first_line(error)
        raise UserError(
            f"{url}: {reason}; s3:// needs `{how_to_install('cloud')}`, other stores the package named here"
        ) from error
    except ValueError as error:
        raise UserError(f"{url}: {error}; expected an address that fsspec knows, such as s3://bucket/folder") from error
