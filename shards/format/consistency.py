"""Checks between the files of a set of shards. A fault names the file, what was expected and what to do.

A reader stops at the first fault; verification lists all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dermforge.common.errors import CheckFailed
from dermforge.common.texts_as_values import json_value
from shards.format.interop import INFO
from shards.format.schema import REMEDY, SHARD, Sidecar
from shards.storage.location import Storage


def file_fault(where: Storage, names: dict[str, int], record: str, sidecar: Sidecar) -> str | None:
    """What is wrong with the name or the size of a tar, by its sidecar; None if nothing is wrong."""
    if record != f"{sidecar.stem}.json":
        return f"{where}/{record} describes {sidecar.tar}: it was renamed; give it its old name again"
    if sidecar.tar not in names:
        return f"{where}/{sidecar.tar} is missing, but {record} describes it; write it again, or remove the sidecar too"
    if names[sidecar.tar] != sidecar.bytes:
        return wrong_size(f"{where}/{sidecar.tar}", sidecar.bytes, names[sidecar.tar])
    return None


def orphan_faults(where: Storage, names: dict[str, int]) -> Iterator[str]:
    """Tars without a sidecar: they were never committed, or come from other tools."""
    for name in sorted(names):
        record = Path(name).with_suffix(".json").name
        if SHARD.match(name) and name.endswith(".tar") and record not in names:
            yield (
                f"{where}/{name} has no sidecar, so it was never committed; run the command that wrote it again, "
                "`shards repair` it, or import shards of other tools with `shards make`"
            )


def info_faults(where: Storage, names: dict[str, int]) -> Iterator[str]:
    """Shards that timm's `_info.json` lists but that are missing."""
    try:
        listed = listed_in_info(where) if INFO in names else set()
    except CheckFailed as error:
        yield str(error)
        return
    for name in sorted(listed - set(names)):
        yield (
            f"{where}/{name} is missing, but {INFO} lists it; write it again, or remove {INFO} if the shard was "
            "removed on purpose"
        )


def set_faults(where: Storage, sidecars: Sequence[Sidecar]) -> Iterator[str]:
    """Shards that do not belong together: their classes differ, or they share an id."""
    seen: dict[str, str] = {}
    for sidecar in sidecars:
        if sidecar.classes != sidecars[0].classes:
            yield (
                f"{where}/{sidecar.tar} has the classes {', '.join(sidecar.classes)}, but {sidecars[0].tar} has "
                f"{', '.join(sidecars[0].classes)}; keep them in two folders"
            )
        for row in sidecar.samples:
            if row.id in seen:
                yield (
                    f"the id {row.id!r} is in {seen[row.id]} and in {sidecar.tar} of {where}; expected every id once: "
                    "`shards select` one of the two, or write them again"
                )
            seen[row.id] = sidecar.tar


def listed_in_info(where: Storage) -> set[str]:
    """The tars that timm's `_info.json` names.

    Raises
    ------
    CheckFailed
        The file is damaged.
    """
    content = where.read(INFO)
    try:
        splits = json_value(content)["splits"].values()
        return {str(name) for split in splits for name in split["filenames"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckFailed(f"{where}/{INFO} is damaged ({error}); remove it: timm can do without") from error


def wrong_digest(path: str, expected: str, got: str) -> str:
    """The message for a tar whose bytes were changed."""
    return f"{path} has the sha256 {got[:12]}, its sidecar says {expected[:12]}; {REMEDY}"


def wrong_size(path: str, expected: int, got: int) -> str:
    """The message for a tar that is shorter or longer than its sidecar says."""
    return f"{path} has {got} bytes, its sidecar says {expected}; {REMEDY}"
