"""Checks the marks of the images of a shard: do they say what the set says?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from shards.format.find_mark import mark_of
from shards.format.mark import at_odds
from shards.format.schema import Sidecar


@dataclass
class Marks:
    """What was found in some shards.

    Attributes
    ----------
    faults
        Images whose mark says something else than their record.
    unmarked
        Ids of synthetic images without a mark.
    """

    faults: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)


def check_marks(file: BinaryIO, sidecar: Sidecar, source: str) -> Marks:
    """Compare each image's mark with its record in the sidecar: the origin, and the digest of the bundle."""
    result = Marks()
    for row in sidecar.samples:
        start, size = row.members[row.ext]
        mark = mark_of(os.pread(file.fileno(), size, start))
        if word := at_odds(row.origin, mark):
            result.faults.append(
                f"{row.id} in {source} is of origin {row.origin!r}, but the image itself is marked as "
                f"{word}; take it out with `shards select --quarantine`"
            )
        elif mark and mark.digest and sidecar.bundle_digest and mark.digest != sidecar.bundle_digest:
            result.faults.append(
                f"{row.id} in {source} is marked as made by the bundle {mark.digest[:12]}, its sidecar says "
                f"{sidecar.bundle_digest[:12]}; put the shard back from a copy, or make it again"
            )
        elif row.origin == "synthetic" and mark is None:
            result.unmarked.append(row.id)
    return result


def unmarked_sentence(unmarked: Sequence[str], images: int) -> str:
    """What to say of synthetic images without a mark."""
    return (
        f"{len(unmarked)} of {images} images are synthetic and not marked as such (the first is {unmarked[0]}): they "
        "are of a version without marks, or of another program; `gen sample --fresh` draws them again with marks, and "
        "`shards make --origin synthetic` marks those of other generators"
    )
