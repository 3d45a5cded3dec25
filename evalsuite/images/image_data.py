"""The images that are measured: shards, a folder or arrays behind one interface, and what belongs together in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError
from shards import ImageSet, open_data
from shards.format.schema import Origin, Sample
from shards.ingest.refuse_marked import refuse_marked

T = TypeVar("T")
#: Columns that the measures read, one row per image.
COLUMNS = ("id", "class", "group", "strategy", "split", "cluster", "parent", "image_sha256")


class Track(Protocol):
    """Passes items on while a long job runs; a command gives `dermforge.common.console.track`, which shows progress."""

    def __call__(self, items: Iterable[T], what: str, total: int, /) -> Iterable[T]: ...


def untracked(items: Iterable[T], what: str, total: int, /) -> Iterable[T]:
    """Shows nothing."""
    return items


class ImageData(Protocol):
    """What `shards.open_data` gives."""

    @property
    def rows(self) -> pd.DataFrame: ...

    def images(self) -> Iterator[tuple[Sample, NDArray[np.uint8]]]: ...

    def take(self, positions: NDArray[np.intp]) -> ImageData: ...


#: Shards or a folder by path, an open set, or an array uint8 [n, h, w, 3].
ImageSource = str | Path | ImageData | NDArray[np.uint8]


@dataclass(frozen=True)
class ArrayImages:
    """Images in memory, uint8 [h, w, 3] each, with the interface of a shard set."""

    samples: Sequence[Sample]
    arrays: Sequence[NDArray[np.uint8]]

    @property
    def rows(self) -> pd.DataFrame:
        digests = [digest_bytes(a.tobytes()) for a in self.arrays]
        return pd.DataFrame([s.model_dump(by_alias=True) for s in self.samples]).assign(image_sha256=digests)

    def images(self) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        return zip(self.samples, self.arrays, strict=True)

    def take(self, positions: NDArray[np.intp]) -> ArrayImages:
        return ArrayImages([self.samples[i] for i in positions], [self.arrays[i] for i in positions])


def array_images(
    images: NDArray[np.uint8],
    *,
    name: str = "image",
    origin: Origin = "real",
    classes: Sequence[str] | None = None,
    groups: Sequence[str | None] | None = None,
) -> ArrayImages:
    """A set of the RGB images of an array, uint8 [n, h, w, 3] with n at least 1; image i gets the id `name-i`.

    Parameters
    ----------
    classes, groups
        Class and skin type of each image, [n]; without them all images are of one class and of no known skin type.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not len(images):
        raise UserError(
            f"the {name} images are {images.dtype} {list(images.shape)}; expected uint8 [n, h, w, 3], n at least 1"
        )
    pairs = zip(classes or ["image"] * len(images), groups or [None] * len(images), strict=True)
    samples = [Sample(id=f"{name}-{i}", origin=origin, label=c, group=g) for i, (c, g) in enumerate(pairs)]
    return ArrayImages(samples, list(images))


def open_images(
    source: ImageSource, *, split: str | None = None, name: str = "image", origin: Origin = "real"
) -> ImageData:
    """The images of a source (`name` and `origin` are those of an array's images); UserError where there are none.

    Parameters
    ----------
    split
        Only this split of a path: its subfolder of that name, or the samples that name it.
    """
    if isinstance(source, np.ndarray):
        return array_images(source, name=name, origin=origin)
    if not isinstance(source, str | Path):
        return source
    nested = Path(source) / split if split and (Path(source) / split).is_dir() else None
    data = open_data(nested or source)
    if split and nested is None:
        data = data.where(split=split)
    if not data.n:
        raise UserError(f"{source} holds no images" + (f" of the split {split}" if split else ""))
    return data


def open_real(source: ImageSource, *, split: str | None = None, name: str = "image") -> ImageData:
    """As `open_images`; images that say themselves that an algorithm made them are refused by their ids."""
    data = open_images(source, split=split, name=name)
    if isinstance(data, ImageSet):
        refuse_marked(data, "real images")
    return data


def describe(data: ImageData) -> pd.DataFrame:
    """One row per image with the columns that the measures read; absent values are None."""
    frame = data.rows.reset_index(drop=True).reindex(columns=list(COLUMNS)).astype(object)
    return frame.where(frame.notna(), None)


def sample_record(sample: Sample) -> dict[str, object]:
    """The columns with which a table of one row per image begins."""
    return {
        "id": sample.id,
        "class": sample.label,
        "group": sample.group,
        "strategy": sample.strategy,
        "parent": sample.parent,
        "cluster": sample.cluster,
    }


def families(frame: pd.DataFrame, parents: pd.DataFrame | None = None) -> NDArray[np.object_]:
    """The family of each image, [n]: its patient or its cluster of duplicates, else the photograph it was made from.

    An image with neither is a family of its own. A family crosses no fold and counts as one unit of an interval. An
    image made from one of the real images `parents` belongs to that image's family.
    """
    columns = frame.reindex(columns=["cluster", "parent"]).astype(object)
    origin = columns["parent"]
    if parents is not None:
        origin = origin.map(dict(zip(parents["id"], families(parents), strict=True))).fillna(origin)
    own = columns["cluster"].where(columns["cluster"].notna(), origin)
    return own.where(own.notna(), frame["id"]).to_numpy(dtype=object)


def image_side(data: ImageData) -> int:
    """The shorter side of the first image in pixels: the usual size to bring both sets to."""
    for _, image in data.images():
        return int(min(image.shape[:2]))
    raise UserError("the set holds no images")


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
