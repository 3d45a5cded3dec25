"""Unpacking of one sample from its bytes in a tar. Everything in it is checked against the sidecar."""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock
from typing import Any, BinaryIO

from pydantic import ValidationError

from dermforge.common.digests import digest_bytes, digest_stream
from dermforge.common.errors import CheckFailed
from shards.format import tar
from shards.format.consistency import wrong_digest, wrong_size
from shards.format.schema import REMEDY, ImageFacts, Sample, Sidecar, SidecarRow
from shards.storage.location import Storage


def unpack(data: bytes, row: SidecarRow, source: str, verify: bool) -> tuple[Sample, bytes]:
    """Unpack a sample from its bytes; its headers must be the ones that the writer writes.

    Raises
    ------
    CheckFailed
        A header, the JSON or (with `verify`) the image differs from the sidecar; names the file and the member.
    """

    def damaged(what: str) -> CheckFailed:
        return CheckFailed(f"{source} is damaged: {what}; {REMEDY}")

    if len(data) != row.bytes:
        raise damaged(f"it ends inside {row.id}: expected {row.bytes} bytes at {row.offset}, got {len(data)}")
    contents: dict[str, bytes] = {}
    for ext, (start, size) in row.members.items():
        at = start - row.offset
        if data[at - tar.BLOCK : at] != tar.header(f"{row.id}.{ext}", size):
            raise damaged(f"the header of {row.id}.{ext} at byte {start - tar.BLOCK} is not as it was written")
        contents[ext] = data[at : at + size]
    image = contents[row.ext]
    if verify and row.image_sha256 and digest_bytes(image) != row.image_sha256:
        place = f"{row.id}.{row.ext} at byte {row.members[row.ext][0]}"
        raise damaged(f"{place} does not have the sha256 {row.image_sha256[:12]}")
    try:
        sample = Sample.model_validate_json(contents["json"])
    except ValidationError as error:
        raise damaged(f"{row.id}.json: {error.errors()[0]['msg']}") from error
    if difference := record_fault(sample, contents["json"], row):
        raise damaged(difference)
    return sample, image


def record_fault(sample: Sample, content: bytes, row: SidecarRow) -> str | None:
    """How the JSON of an image differs from what the sidecar says of it; None if it does not.

    Parameters
    ----------
    content
        The bytes from which the sample was read.
    """
    for name in ImageFacts.model_fields:
        if (inside := getattr(sample, name)) != (listed := getattr(row, name)):
            return f"{row.id}.json says {name} {inside!r}, the sidecar {listed!r}"
    if row.record_sha256 and digest_bytes(content) != row.record_sha256:
        return f"{row.id}.json does not have the sha256 {row.record_sha256[:12]}"
    return None


class OpenTars:
    """The tars that were read last, kept open. Reads are by position, so threads and forked workers may share them."""

    def __init__(self, where: Storage) -> None:
        self.where = where
        self.files: OrderedDict[str, BinaryIO] = OrderedDict()
        self.checked: set[str] = set()
        self.locks: dict[str, Lock] = {}

    def check(self, sidecar: Sidecar) -> None:
        """Compare the sha256 of a whole tar with its sidecar's, once; threads that ask meanwhile wait.

        Raises
        ------
        CheckFailed
            They differ; names the file.
        """
        if sidecar.tar in self.checked:
            return
        with self.locks.setdefault(sidecar.tar, Lock()):
            if sidecar.tar in self.checked:
                return
            with self.where.open(sidecar.tar) as file:
                digest = digest_stream(file)
            if sidecar.sha256 and digest != sidecar.sha256:  # "" where it was written without
                raise CheckFailed(wrong_digest(f"{self.where}/{sidecar.tar}", sidecar.sha256, digest))
            self.checked.add(sidecar.tar)

    def read(self, sidecar: Sidecar, offset: int, size: int) -> bytes:
        file = self.files.get(sidecar.tar)
        if file is None:
            file = self.where.open(sidecar.tar)
            if (size_now := os.fstat(file.fileno()).st_size) != sidecar.bytes:
                file.close()
                raise CheckFailed(wrong_size(f"{self.where}/{sidecar.tar}", sidecar.bytes, size_now))
            self.files[sidecar.tar] = file
            if len(self.files) > self.where.keep_open:  # it is closed when its last reader is done
                self.files.popitem(last=False)
        return os.pread(file.fileno(), size, offset)

    def __getstate__(self) -> dict[str, Any]:
        return {"where": self.where, "files": OrderedDict(), "checked": self.checked, "locks": {}}
