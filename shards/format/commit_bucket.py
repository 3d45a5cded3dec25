"""The commit of a shard in a bucket, which has neither locks nor renames of two files at once.

A new shard is uploaded and read back before its sidecar says that it exists. One that takes another's place waits under
names of its own (`.set-000000.tar.next`) until all of it has arrived; whoever finds it there finishes the exchange.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dermforge.common.errors import CheckFailed
from shards.format.interop import dali_index
from shards.format.schema import SHARD, Sidecar
from shards.storage.bucket import Bucket
from shards.storage.location import address

_NEXT = re.compile(r"^\.(?P<stem>.+-[0-9]{6})\.json\.next$")


def upload(folder: Path, url: str, sidecar: Sidecar, replace: bool = False) -> None:
    """Copy one committed shard to a bucket; nothing there says that it exists before all of it does.

    Parameters
    ----------
    replace
        Take the place of a committed shard with other content. Cut off, `finish_uploads` finishes it or the old shard
        is whole; in between, readers are told that the tar has the wrong size.

    Raises
    ------
    CheckFailed
        What arrived is not what was sent, or the bucket holds this shard with other content (`replace` not given).
    """
    bucket = Bucket(address(url))
    record = f"{sidecar.stem}.json"
    there = _committed(bucket, [record], bucket.names(missing_ok=True)).get(sidecar.index)
    if there and not replace:
        if there.sha256 and (there.sha256, there.bytes) == (sidecar.sha256, sidecar.bytes):
            return
        raise CheckFailed(
            f"{bucket}/{sidecar.tar} is already there with other content (sha256 {there.sha256[:12]}, "
            f"now {sidecar.sha256[:12]}); write to another address, or remove it and its sidecar"
        )
    name = f".{sidecar.tar}.next" if replace else sidecar.tar
    bucket.put(folder / sidecar.tar, name)
    if sidecar.sha256 and (digest := bucket.digest(name)) != sidecar.sha256:
        raise CheckFailed(
            f"{bucket}/{name} arrived with the sha256 {digest[:12]}, sent was {sidecar.sha256[:12]}; upload it again"
        )
    if replace:
        bucket.write(f".{record}.next", sidecar.to_bytes())
        _exchange(bucket, sidecar, waiting=True)
    else:
        _record(bucket, sidecar)


def finish_uploads(url: str) -> list[str]:
    """Complete the exchanges that were cut off once the new shard had arrived; the tars that were exchanged."""
    bucket = Bucket(address(url))
    names = bucket.names(missing_ok=True)
    done = []
    for name in filter(_NEXT.match, names):
        try:
            sidecar = Sidecar.from_bytes(bucket.read(name), f"{bucket}/{name}")
        except CheckFailed:  # it did not arrive whole, so the old shard was not touched
            continue
        waiting = f".{sidecar.tar}.next" in names
        if waiting or (sidecar.tar in names and bucket.digest(sidecar.tar) == sidecar.sha256):
            _exchange(bucket, sidecar, waiting)
            done.append(sidecar.tar)
    return done


def finished_in(url: str, name: str) -> dict[int, Sidecar]:
    """The committed shards of a bucket by number, for resuming; what had all but been exchanged is exchanged first.

    Raises
    ------
    UserError
        The store cannot be asked; that is not the same as a folder that is not there, of which nothing is done.
    """
    finish_uploads(url)
    bucket = Bucket(address(url))
    names = bucket.names(missing_ok=True)
    return _committed(bucket, (n for n in names if SHARD.match(n) and n.endswith(".json") and n[:-12] == name), names)


def _committed(bucket: Bucket, records: Iterable[str], names: dict[str, int]) -> dict[int, Sidecar]:
    """Shard number -> sidecar, of the records that are whole and whose tars have the size that they say."""

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
