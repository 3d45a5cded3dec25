"""Files that end in the sha256 of all the bytes before it: no changed byte goes unseen when they are read back.

Readers of NumPy's arrays and of PNG take no notice of what is behind the content. In a safetensors file the digest is
the last tensor (`tensor_files`), in JSON the last entry; parquet has its own place for it (`sealed_parquet`).
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import warnings
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

from dermforge.common.atomic import Pending
from dermforge.common.digests import digest_file
from dermforge.common.errors import DataWarning, UserError
from dermforge.common.regular_file import open_regular

#: Bytes of the digest, in hexadecimal.
SEAL = 64
#: So many parts are written by one call, or fewer with a large one at their end, of so many bytes.
PARTS, LARGE = 256, 1 << 20

#: What becomes of a damaged file of a cache.
AGAIN = "it is computed again"

_JSON_END = b"\n}"
_JSON_SEAL = b',\n "sha256": "%s"\n}\n'
_JSON_SEALED = re.compile(rb',\n ".{6}": ".{64}"\n}\n\Z', re.DOTALL)


class Damaged(UserError):
    """A file is not as it was written."""

    def __init__(self, path: Path, remedy: str) -> None:
        super().__init__(f"{path} is damaged, or an earlier version wrote it (its sha256 does not fit); {remedy}")


def write_sealed(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file whole or not at all, and its digest behind it."""
    total = hashlib.sha256()
    waiting: list[bytes | memoryview] = []
    with Pending(path) as file:
        for part in parts:
            total.update(part)
            waiting.append(part)
            if len(waiting) == PARTS or len(part) >= LARGE:
                file.write(waiting)
                waiting = []
        file.write([*waiting, total.hexdigest().encode()])
        file.commit()


def seal(file: Pending) -> None:
    """Put the digest behind what is in a pending file by now, whoever wrote it."""
    os.lseek(file.fd, 0, os.SEEK_END)
    file.write([digest_file(file.path).encode()])


def is_sealed(path: Path) -> bool:
    """Whether a file is as it was written."""
    with open_regular(path) as file:
        return _fits(file)


def mapped(path: Path, remedy: str) -> mmap.mmap:
    """The bytes of a file, its digest at their end; those that were checked, whatever takes the name meanwhile.

    They are in memory where they are used; writing to them changes no file.

    Raises
    ------
    Damaged
        The file is damaged, or an earlier version wrote it; `remedy` says what to do.
    """
    with open_regular(path) as file:
        if not _fits(file):
            raise Damaged(path, remedy)
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def is_reusable(*cached: Path) -> bool:
    """Whether files of a cache are there and as they were written; that one is damaged is said (`DataWarning`)."""
    if not all(path.exists() for path in cached):
        return False
    damaged = next((path for path in cached if not is_sealed(path)), None)
    if damaged is not None:
        warnings.warn(str(Damaged(damaged, AGAIN)), DataWarning, stacklevel=2)
    return damaged is None


def sealed_json(document: str) -> bytes:
    """A JSON object with entries as a file, with the digest of its text as its last entry."""
    body = document.encode().rstrip().removesuffix(b"}").rstrip()
    return body + _JSON_SEAL % hashlib.sha256(body).hexdigest().encode()


def is_sealed_json(content: bytes) -> bool:
    """Whether JSON ends in a digest, right or wrong."""
    return _JSON_SEALED.search(content) is not None


def opened_json(content: bytes, path: Path, remedy: str) -> bytes:
    """The JSON object that `sealed_json` wrote, without the digest; JSON without one, such as a person's, is as it is.

    A changed byte in the name of the entry or in the digest is seen here, and one in between is no JSON any more.

    Raises
    ------
    UserError
        The file is damaged; `remedy` says what to do.
    """
    found = _JSON_SEALED.search(content)
    if found is None:
        return content
    body = content[: found.start()]
    if found[0] != _JSON_SEAL % hashlib.sha256(body).hexdigest().encode():
        raise UserError(f"{path} is damaged (its sha256 does not fit); {remedy}")
    return body + _JSON_END


def _fits(file: FileIO) -> bool:
    """Whether the digest at the end is that of all before it."""
    total, left = hashlib.sha256(), os.fstat(file.fileno()).st_size - SEAL
    if left < 0:
        return False
    while left and (piece := file.read(min(left, 8 << 20))):
        total.update(piece)
        left -= len(piece)
    return file.read(SEAL) == total.hexdigest().encode()
