"""Features of a set of images: computed once, streamed to disk, kept by digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from dermforge.common.console import progress
from dermforge.common.errors import UserError
from evalsuite.images.features.extractors import Extractor, resized
from shards.format.schema import Sample

#: Columns that the parts of the suite read, one row an image.
COLUMNS = ("id", "class", "group", "strategy", "split", "cluster", "parent", "image_sha256")


class ImageData(Protocol):
    """What `shards.open_data` gives."""

    @property
    def rows(self) -> pd.DataFrame: ...

    def images(self) -> Iterator[tuple[Sample, NDArray[np.uint8]]]: ...

    def take(self, positions: NDArray[np.intp]) -> ImageData: ...


@dataclass(frozen=True)
class ArrayImages:
    """Images already in memory, with the face of a shard set: for small sets and checks."""

    samples: Sequence[Sample]
    arrays: Sequence[NDArray[np.uint8]]

    @property
    def rows(self) -> pd.DataFrame:
        digests = [hashlib.sha256(a.tobytes()).hexdigest() for a in self.arrays]
        records = [
            s.model_dump(by_alias=True) | {"image_sha256": d} for s, d in zip(self.samples, digests, strict=True)
        ]
        return pd.DataFrame(records)

    def images(self) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        return zip(self.samples, self.arrays, strict=True)

    def take(self, positions: NDArray[np.intp]) -> ArrayImages:
        return ArrayImages([self.samples[i] for i in positions], [self.arrays[i] for i in positions])


@dataclass(frozen=True)
class Preprocess:
    """What both sides go through before any network: centre square, antialiased resize, JPEG at one quality.

    Without it a difference of codec or of resize filter reads as a difference of images (Parmar 2022).
    """

    size: int
    quality: int | None = 95  # None: no codec

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 [h, w, 3] to uint8 [size, size, 3]."""
        h, w = image.shape[:2]
        side = min(h, w)
        top, left = (h - side) // 2, (w - side) // 2
        square = resized(np.ascontiguousarray(image[top : top + side, left : left + side]), self.size)
        if self.quality is None:
            return square
        coded = simplejpeg.encode_jpeg(
            np.ascontiguousarray(square), quality=self.quality, colorspace="RGB", colorsubsampling="444"
        )
        return simplejpeg.decode_jpeg(coded, colorspace="RGB")


@dataclass(frozen=True)
class Features:
    """values: float32 [n, d], memory-mapped; frame: one row an image in the same order (`COLUMNS`)."""

    values: NDArray[np.float32]
    frame: pd.DataFrame
    extractor: Extractor
    digest: str

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> NDArray[np.float64]:
        """The features of some rows, in memory."""
        return np.asarray(self.values[rows], dtype=np.float64)


def describe(data: ImageData) -> pd.DataFrame:
    """One row an image with the columns that the suite reads; absent ones are None."""
    frame = data.rows.reset_index(drop=True).reindex(columns=list(COLUMNS)).astype(object)
    return frame.where(frame.notna(), None)


def families(frame: pd.DataFrame, parents: pd.DataFrame | None = None) -> NDArray[np.object_]:
    """What belongs together, [n]: an image's patient or family of duplicates, else the photograph it was made from.

    An image with neither is its own. What belongs together crosses no fold and counts as one unit of an interval.

    Parameters
    ----------
    parents
        Real images: what was made from one of them is of its family.
    """
    columns = frame.reindex(columns=["cluster", "parent"]).astype(object)
    origin = columns["parent"]
    if parents is not None:
        origin = origin.map(dict(zip(parents["id"], families(parents), strict=True))).fillna(origin)
    own = columns["cluster"].where(columns["cluster"].notna(), origin)
    return own.where(own.notna(), frame["id"]).to_numpy(dtype=object)


def extract(
    data: ImageData,
    extractor: Extractor,
    preprocess: Preprocess,
    folder: Path,
    *,
    what: str = "features",
    batch: int = 64,
) -> Features:
    """Features of every image, from `folder` when they are there already.

    The file's name is the digest of extractor, preprocessing and images, so a stale cache cannot be read.
    Memory holds one batch whatever the number of images.
    """
    frame = describe(data)
    if frame.empty:
        raise UserError("no images to compute features of")
    digest = _digest(frame, extractor, preprocess)
    file = folder / f"features-{digest[:24]}.npy"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(file, data, frame, extractor, preprocess, what, batch)
    return Features(read_kept(file, len(frame)), frame, extractor, digest)


def read_kept(file: Path, rows: int) -> NDArray[Any]:
    """An array kept on disk, memory-mapped; UserError where it is damaged."""
    try:
        values = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{file} is damaged ({error}); delete it, it will be made again") from error
    if len(values) != rows:
        raise UserError(f"{file} holds {len(values)} rows, expected {rows}; delete it, it will be made again")
    return values


def _digest(frame: pd.DataFrame, extractor: Extractor, preprocess: Preprocess) -> str:
    """Of everything the values follow from; image digests are the ones the shards were verified with."""
    total = hashlib.sha256(f"{extractor.digest}|{preprocess}|{len(frame)}".encode())
    for row in frame.itertuples(index=False):
        total.update(f"{row.id}:{row.image_sha256}\n".encode())
    return total.hexdigest()


def _write(
    file: Path,
    data: ImageData,
    frame: pd.DataFrame,
    extractor: Extractor,
    preprocess: Preprocess,
    what: str,
    batch: int,
) -> None:
    """Stream batches into an array file that gets its name when it is whole."""
    partial = file.with_name(f".{file.name}.tmp-{os.getpid()}")
    store: NDArray[np.float32] | None = None
    try:
        done = 0
        with progress(f"{what} [{extractor.name}]", len(frame)) as tick:
            for ids, images in _batches(data, preprocess, batch):
                values = extractor.embed(images)
                if not np.isfinite(values).all():
                    bad = ids[int(np.argmin(np.isfinite(values).all(axis=1)))]
                    raise UserError(
                        f"{extractor.name} gives no finite features for {bad}; use another extractor, or "
                        "leave the image out"
                    )
                if list(frame["id"][done : done + len(ids)]) != ids:
                    raise UserError(f"the rows and the images of the data differ at row {done} ({ids[0]})")
                if store is None:
                    store = np.lib.format.open_memmap(
                        partial, mode="w+", dtype=np.float32, shape=(len(frame), values.shape[1])
                    )
                store[done : done + len(ids)] = values
                done += len(ids)
                tick(len(ids))
        if done != len(frame):
            raise UserError(f"the data lists {len(frame)} images and holds {done}")
        assert store is not None
        store.flush()  # type: ignore[attr-defined]
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _batches(data: ImageData, preprocess: Preprocess, batch: int) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
    ids: list[str] = []
    images: list[NDArray[np.uint8]] = []
    for sample, image in data.images():
        ids.append(sample.id)
        images.append(preprocess(image))
        if len(ids) == batch:
            yield ids, np.stack(images)
            ids, images = [], []
    if ids:
        yield ids, np.stack(images)


def image_side(data: ImageData) -> int:
    """The shorter side of the first image, in pixels: the usual size to bring both sets to."""
    for _, image in data.images():
        return int(min(image.shape[:2]))
    raise UserError("no images")


def thumbnail(image: NDArray[np.uint8], size: int = 96) -> bytes:
    """A small JPEG for reports."""
    small = Image.fromarray(image)
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(np.asarray(small)), quality=85, colorspace="RGB")
