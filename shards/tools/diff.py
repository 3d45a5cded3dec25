"""Comparison of two sets of images, id by id."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shards.format.reader import ShardSet


@dataclass
class Difference:
    """The differences between two sets.

    Attributes
    ----------
    only_first, only_second
        Ids that only one of the sets has.
    images
        Ids whose encoded images differ.
    records
        Ids whose images are equal and whose JSON differs.
    largest
        Largest difference of a pixel value among `images`, 0 to 255; NaN where none was decoded.
    """

    only_first: list[str] = field(default_factory=list)
    only_second: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    largest: float = float("nan")

    @property
    def same(self) -> bool:
        return not (self.only_first or self.only_second or self.images or self.records)


def diff(first: ShardSet, second: ShardSet, pixels: bool = False) -> Difference:
    """Compare two sets id by id; `pixels` decodes the images that differ."""
    found = Difference()
    ids = [set(data.rows["id"]) for data in (first, second)]
    found.only_first, found.only_second = sorted(ids[0] - ids[1]), sorted(ids[1] - ids[0])
    for key in sorted(ids[0] & ids[1]):
        (one, a), (two, b) = first.read(key), second.read(key)
        if a != b:
            found.images.append(key)
            if pixels:
                x, y = (data.image_at(data.position(key))[1].astype(np.int16) for data in (first, second))
                largest = float(np.abs(x - y).max()) if x.shape == y.shape else 255.0
                found.largest = largest if np.isnan(found.largest) else max(found.largest, largest)
        elif one != two:
            found.records.append(key)
    return found
