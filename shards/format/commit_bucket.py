"""Committing a shard in a bucket, where there are no locks and two files cannot be renamed at once.

A new shard is uploaded and read back before its sidecar is written. A shard that replaces another is uploaded under
temporary names (`.set-000000.tar.next`) first; the next process that finds a complete one finishes the exchange.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dermforge.common.errors import CheckFailed
from shards.format.interop import dali_index
from shards.format.schema import SHARD, Sidecar
from shards.format.withdrawn import Withdrawn
from shards.storage.bucket import Bucket
from shards.storage.location import address

_NEXT = re.compile(r"^\.(?P<stem>.+-[0-9]{6})\.json\.next$")


def upload(folder: Path, url: str, sidecar: Sidecar, replace: bool = False) -> Sidecar:
    """Copy one committed shard to a bucket, its sidecar last; returns it as it was written.

    Parameters
    ----------
    replace
        Replace a committed shard that has other content. After an interruption either the old shard is whole or
        `finish_uploads` finishes the exchange; during the exchange readers may report a wrong size.

    Raises
    ------
    CheckFailed
        The upload was damaged, the bucket holds this shard with other content and `replace` is False, or an image was
        withdrawn.
    """
    bucket = Bucket(address(url))
    record = f"{sidecar.stem}.json"
    names = bucket.names(missing_ok=True)
    sidecar = Withdrawn.of(bucket, names).accepted(bucket, sidecar)
    there = _committed(bucket, [record], names).get(sidecar.index)
    if there and not replace:
        if there.sha256 and (there.sha256, there.bytes) == (sidecar.sha256, sidecar.bytes):
            return sidecar
        raise CheckFailed(
            f"{bucket}/{sidecar.tar} is already there with other content (sha256 {there.sha256[:12]}, "
            f"now {sidecar.sha256[:12]}); write to another address, or remove it and its sidecar"
        )
    name = f".{sidecar.tar}.next" if replace else sidecar.tar
    bucket.put(folder / sidecar.tar, name)
    if sidecar.sha256 and (digest := bucket.digest(name)) != sidecar.sha256:
        raise CheckFailed(
            f"{bucket}/{name} arrived with the sha256 {digest[:12]}; expected {sidecar.sha256[:12]}: upload it again"
        )
    if replace:
        bucket.write(f".{record}.next", sidecar.to_bytes())
        _exchange(bucket, sidecar, waiting=True)
    else:
        _record(bucket, sidecar)
    return sidecar


def finish_uploads(url: str) -> list[str]:
    """Finish exchanges that were interrupted after the new shard had arrived; returns the tars exchanged."""
    bucket = Bucket(address(url))
    names = bucket.names(missing_ok=True)
    done = []
    for name in filter(_NEXT.match, names):
        try:
            sidecar = Sidecar.from_bytes(bucket.read(name), f"{bucket}/{name}")
        except CheckFailed:  # it did not arrive whole, so the old shard is untouched
            continue
        waiting = f".{sidecar.tar}.next" in names
        if waiting or (sidecar.tar in names and bucket.digest(sidecar.tar) == sidecar.sha256):
            _exchange(bucket, sidecar, waiting)
            done.append(sidecar.tar)
    return done


def finished_in(url: str, name: str) -> dict[int, Sidecar]:
    """The committed shards of a bucket by number, for resuming; interrupted exchanges are finished first.

    Raises
    ------
    UserError
        The store does not answer. (A folder that does not exist yet is no error: it has no finished shards.)
    CheckFailed
        A shard still holds an image that was withdrawn; the purge has to be finished first.
    """
    finish_uploads(url)
    bucket = Bucket(address(url))
    names = bucket.names(missing_ok=True)
    done = _committed(bucket, (n for n in names if SHARD.match(n) and n.endswith(".json") and n[:-12] == name), names)
    for fault in Withdrawn.of(bucket, names).faults(bucket, done.values()):
        raise CheckFailed(fault)
    return done


def _committed(bucket: Bucket, records: Iterable[str], names: dict[str, int]) -> dict[int, Sidecar]:
    """Shard number -> sidecar, of the sidecars that are whole and whose tars have the right size."""

    def one(record: str) -> Sidecar | None:
        try:
            sidecar = Sidecar.from_bytes(bucket.read(record), f"{bucket}/{record}")
        except CheckFailed:
            return None
        return sidecar if names.get(sidecar.tar) == sidecar.bytes else None

    with ThreadPoolExecutor(8) as pool:
        found = pool.map(one, sorted(record for record in records if record in names))
        return {sidecar.index: sidecar for sidecar in found if sidecar}


def _exchange(bucket: Bucket, sidecar: Sidecar, waiting: bool) -> None:
    if waiting:
        bucket.move(f".{sidecar.tar}.next", sidecar.tar)
    _record(bucket, sidecar)
    bucket.remove(f".{sidecar.stem}.json.next")


def _record(bucket: Bucket, sidecar: Sidecar) -> None:
    bucket.write(f"{sidecar.stem}.idx", dali_index(sidecar))
    bucket.write(f"{sidecar.stem}.json", sidecar.to_bytes())
