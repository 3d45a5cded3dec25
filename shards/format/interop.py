"""Files next to the shards for other readers: DALI's index of each shard, and timm's `_info.json` of the set.

`_info.json` also names the real images that were withdrawn from the set, so that a missing record of one is noticed.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.sealed_file import opened_json, sealed_json
from dermforge.common.texts_as_values import json_value
from shards.format.record import canonical_json
from shards.format.schema import SHARD, Sidecar
from shards.storage.claim import WITHDRAWN
from shards.storage.location import Folder, Storage

REMEDY = "it remembers what was withdrawn from the set: put it back from a copy, or run `shards purge` again"
#: The description of a set that timm's `wds/` reader expects.
INFO = "_info.json"


def dali_index(sidecar: Sidecar) -> bytes:
    """The index that DALI's `wds2idx` would write: extension, offset, size and name of every member."""
    lines = [f"v1.2 {sidecar.n}"]
    for row in sidecar.samples:
        members = sorted(row.members.items(), key=lambda member: member[1])
        lines.append(" ".join(f"{ext} {at} {size} {row.id}.{ext}" for ext, (at, size) in members))
    return "\n".join(lines).encode() + b"\n"


def write_info(location: Path | Storage) -> None:
    """Write timm's `_info.json` from the sidecars: the shards of each split, and their lengths."""
    where = Folder(location) if isinstance(location, Path) else location
    names = where.names()
    records = sorted(name for name in names if SHARD.match(name) and name.endswith(".json"))
    sidecars = [Sidecar.from_bytes(where.read(name), f"{where}/{name}") for name in records]
    gone = withdrawn_in(where.read(INFO), f"{where}/{INFO}") if INFO in names else set()
    gone |= {name.split(".")[1] for name in fnmatch.filter(names, WITHDRAWN)}
    where.write(INFO, _info(sidecars, sorted(gone)))


def withdrawn_in(content: bytes, source: str) -> set[str]:
    """The withdrawn real images that an `_info.json` or a sidecar names; none if it is no JSON, or of another program.

    Raises
    ------
    CheckFailed
        It names some, and was changed after it was written.
    """
    try:
        whole = opened_json(content, Path(source), REMEDY)
    except UserError as error:
        raise CheckFailed(str(error)) from error
    try:
        return set(map(str, json_value(whole)["withdrawn"]))
    except (ValueError, KeyError, TypeError, UserError):
        return set()


def _info(sidecars: Sequence[Sidecar], withdrawn: Sequence[str]) -> bytes:
    splits: dict[str, list[Sidecar]] = {}
    for sidecar in (s for s in sidecars if s.n):
        names = {row.split or "train" for row in sidecar.samples}
        splits.setdefault(names.pop() if len(names) == 1 else "mixed", []).append(sidecar)
    described = {
        name: {
            "name": name,
            "num_samples": sum(s.n for s in members),
            "filenames": [s.tar for s in members],
            "shard_lengths": [s.n for s in members],
            "alt_label": "",
        }
        for name, members in splits.items()
    }
    if not withdrawn:
        return canonical_json({"splits": described}) + b"\n"
    return sealed_json(canonical_json({"splits": described, "withdrawn": withdrawn}).decode())
