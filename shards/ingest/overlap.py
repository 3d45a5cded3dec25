"""Images that two data sets share: by pixels, by perceptual hash, or by the names that they give each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dermforge.common.digests import digest_bytes
from shards.format.reader import ImageSet
from shards.ingest.files.naming import id_of
from shards.ingest.near import NEAR
from shards.ingest.tables.join import without_suffix
from shards.ingest.write.dedupe import perceptual_hash

How = Literal["same pixels", "same name", "near"]
#: Iterates over the rows and shows the progress: the rows, what is done, their number.
Track = Callable[[Iterable[int], str, int], Iterable[int]]


@dataclass(frozen=True)
class Shared:
    """An image of the first set and one of the second.

    Attributes
    ----------
    bits
        In how many of 256 bits their perceptual hashes differ.
    """

    first: str
    second: str
    how: How
    bits: int


@dataclass(frozen=True)
class _Prints:
    """What tells the images of a set apart: ids, other names, digests of pixels, hashes [n, 4]."""

    ids: list[str]
    names: list[set[str]]
    pixels: list[str]
    hashes: NDArray[np.uint64]


def overlap(
    first: ImageSet, second: ImageSet, near: int = NEAR, track: Track = lambda rows, what, total: rows
) -> list[Shared]:
    """Every pair of images that may be one, by the surest sign: same pixels, same name, near.

    Names are ids, and the attribute `same_as`, which presets such as skincap fill with an image's name in another set.

    Parameters
    ----------
    near
        In how many of 256 bits the perceptual hashes of one picture may differ.
    """
    a, b = (_prints(data, track) for data in (first, second))
    found: dict[tuple[int, int], How] = {}
    for i in range(len(a.ids)):
        found |= dict.fromkeys(((i, int(j)) for j in np.flatnonzero(_bits(a, b, i) <= near)), "near")
    found |= dict.fromkeys(_pairs(a.names, b.names), "same name")
    found |= dict.fromkeys(_pairs([{key} for key in a.pixels], [{key} for key in b.pixels]), "same pixels")
    return [Shared(a.ids[i], b.ids[j], how, int(_bits(a, b, i)[j])) for (i, j), how in sorted(found.items())]


def _bits(a: _Prints, b: _Prints, i: int) -> NDArray[np.integer]:
    """In how many bits the hash of one image differs from every one of b, [n]."""
    return np.asarray(np.bitwise_count(b.hashes ^ a.hashes[i]).sum(axis=1))


def _prints(data: ImageSet, track: Track) -> _Prints:
    prints = _Prints(list(data.rows["id"]), [], [], np.zeros((data.n, 4), np.uint64))
    for i in track(range(data.n), f"reading {data}", data.n):
        sample, pixels = data.image_at(i)
        other = sample.attributes.get("same_as")
        prints.names.append({sample.id} | ({id_of(without_suffix(other.rpartition("/")[2]))} if other else set()))
        prints.pixels.append(digest_bytes(str(pixels.shape).encode() + pixels.tobytes()))
        prints.hashes[i] = perceptual_hash(pixels)
    return prints


def _pairs(first: list[set[str]], second: list[set[str]]) -> Iterator[tuple[int, int]]:
    """Rows of both that have a key in common."""
    places: dict[str, list[int]] = {}
    for j, keys in enumerate(second):
        for key in keys:
            places.setdefault(key, []).append(j)
    for i, keys in enumerate(first):
        for key in keys:
            for j in places.get(key, []):
                yield i, j
