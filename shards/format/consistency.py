"""What must hold between the files of a set of shards; every fault as file, expected, got, remedy.

Reading stops at the first of them, verification lists them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from dermforge.common.errors import CheckFailed
from shards.format.interop import INFO
from shards.format.schema import SHARD, Sidecar
from shards.storage.location import Place


def file_fault(where: Place, names: dict[str, int], record: str, sidecar: Sidecar) -> str | None:
    """What is wrong with a tar by the name of its sidecar and its size; None if nothing is."""
    if record != f"{sidecar.stem}.json":
        return f"{where}/{record} describes {sidecar.tar}; it was renamed: give it its name back"
    if sidecar.tar not in names:
        return f"{where}/{sidecar.tar} is missing, but {record} describes it; write it again, or remove the sidecar too"
    if names[sidecar.tar] != sidecar.bytes:
        return wrong_size(f"{where}/{sidecar.tar}", sidecar.bytes, names[sidecar.tar])
    return None


def orphan_faults(where: Place, names: dict[str, int]) -> Iterator[str]:
    """Tars without a sidecar: not committed, or of other tools."""
    for name in sorted(names):
        record = Path(name).with_suffix(".json").name
        if SHARD.match(name) and name.endswith(".tar") and record not in names:
            yield (
                f"{where}/{name} has no sidecar, so it was never committed; run the command that wrote it again, "
                "`shards repair` it, or import shards of other tools with `shards make`"
            )


def info_faults(where: Place, names: dict[str, int]) -> Iterator[str]:
    """Shards that timm's `_info.json` lists and that are not there."""
    try:
        listed = listed_in_info(where) if INFO in names else set()
    except CheckFailed as error:
        yield str(error)
        return
    for name in sorted(listed - set(names)):
        yield (
            f"{where}/{name} is missing, but {INFO} lists it; write it again, or remove {INFO} if the shard went on "
            "purpose"
        )


def set_faults(where: Place, sidecars: Sequence[Sidecar]) -> Iterator[str]:
    """Shards that do not belong together: other classes, an id twice."""
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
                    f"the id {row.id!r} is in {seen[row.id]} and in {sidecar.tar} of {where}; every image once: "
                    "`shards select` one of them, or write them again"
                )
            seen[row.id] = sidecar.tar


def listed_in_info(where: Place) -> set[str]:
    """The tars that timm's `_info.json` names.

    Raises
    ------
    CheckFailed
        The file is damaged.
    """
    content = where.read(INFO)
    try:
        splits = json.loads(content)["splits"].values()
        return {str(name) for split in splits for name in split["filenames"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckFailed(f"{where}/{INFO} is damaged ({error}); remove it, and timm does without") from error


def wrong_digest(path: str, expected: str, got: str) -> str:
    """The fault of a tar whose bytes are not those that were written."""
    return (
        f"{path} has the sha256 {got[:12]}, its sidecar says {expected[:12]}; write the shard again, or save what is "
        "whole with `shards repair`"
    )


def wrong_size(path: str, expected: int, got: int) -> str:
    """The fault of a tar that was cut off or grew."""
    return (
        f"{path} has {got} bytes, its sidecar says {expected}; write the shard again, or save what can be saved "
        "with `shards repair`"
    )
