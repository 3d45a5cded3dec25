"""Features of a set of images: computed once, streamed to disk, reused by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import simplejpeg
from numpy.typing import NDArray

from dermforge.common.atomic import Pending
from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError
from dermforge.common.sealed_file import is_reusable, seal
from evalsuite.images.features.extractors import Extractor, resized
from evalsuite.images.image_data import ImageData, Track, describe, in_batches, untracked
from shards.format.schema import Sample


@dataclass(frozen=True)
class Preprocess:
    """What the images of both sides go through before any network: centre square, antialiased resize, one JPEG quality.

    Without it a difference of codec or of resize filter reads as a difference of images (Parmar 2022).
    """

    size: int  # side of the square in pixels
    quality: int | None = 95  # 0 to 100; None: no codec

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
        return np.asarray(simplejpeg.decode_jpeg(coded, colorspace="RGB"))


@dataclass(frozen=True)
class Features:
    """values: float32 [n, d], memory-mapped; frame: one row per image in the same order (`describe`)."""

    values: NDArray[np.float32]
    frame: pd.DataFrame
    extractor: Extractor

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice = slice(None)) -> NDArray[np.float64]:
        """The features of some rows, or of all, in memory."""
        return np.asarray(self.values[rows], dtype=np.float64)


def extract(
    data: ImageData,
    extractor: Extractor,
    preprocess: Preprocess,
    folder: Path,
    *,
    batch: int = 64,
    track: Track = untracked,
) -> Features:
    """Features of every image; read from `folder` when an earlier call has computed them.

    The file's name is the digest of extractor, preprocessing and images, so a stale file is never read; a damaged one
    is computed again, which is said (`DataWarning`). Features of a table are looked up by id, and not kept again.
    Memory holds one batch, whatever the number of images. UserError where the set is empty or the
    extractor gives NaN or infinity for an image.
    """
    frame = describe(data)
    if frame.empty:
        raise UserError("there are no images to compute features of")
    if extractor.by_id:
        return Features(extractor.by_id([str(id) for id in frame["id"]]), frame, extractor)
    file = folder / f"features-{_digest(frame, extractor, preprocess)[:24]}.npy"
    if not is_reusable(file):
        folder.mkdir(parents=True, exist_ok=True)
        images = track(data.images(), f"features [{extractor.name}]", len(frame))
        _write(file, _embedded(images, extractor, preprocess, batch), frame)
    return Features(read_stored(file, len(frame)), frame, extractor)


def read_stored(file: Path, rows: int) -> NDArray[Any]:
    """An array stored on disk, memory-mapped; UserError where it is damaged."""
    with decoding(f"{file} is damaged", "delete it, and it will be computed again"):
        values: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    if len(values) != rows:
        raise UserError(f"{file} holds {len(values)} rows, expected {rows}; delete it, and it will be computed again")
    return values


def _digest(frame: pd.DataFrame, extractor: Extractor, preprocess: Preprocess) -> str:
    """Of everything that decides the values; image digests are the ones the shards were verified with."""
    total = hashlib.sha256(f"{extractor.digest}|{preprocess}|{len(frame)}".encode())
    for row in frame.itertuples(index=False):
        total.update(f"{row.id}:{row.image_sha256}\n".encode())
    return total.hexdigest()


def _embedded(
    images: Iterable[tuple[Sample, NDArray[np.uint8]]], extractor: Extractor, preprocess: Preprocess, batch: int
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Ids and features [b, d] of each batch."""
    for block in in_batches(((sample.id, preprocess(image)) for sample, image in images), batch):
        ids = [id for id, _ in block]
        values = extractor.embed(np.stack([image for _, image in block]))
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise UserError(
                f"{extractor.name} gives no finite features for {ids[int(np.argmin(finite))]}; use another extractor, "
                "or leave the image out"
            )
        yield ids, values


def _write(file: Path, batches: Iterator[tuple[list[str], NDArray[np.float32]]], frame: pd.DataFrame) -> None:
    """Stream batches into an array file, which gets its name when it is complete."""
    store: NDArray[np.float32] | None = None
    done = 0
    with Pending(file, fsync=False) as pending:
        for ids, values in batches:
            if list(frame["id"][done : done + len(ids)]) != ids:
                raise UserError(f"the rows and the images of the data differ at row {done} ({ids[0]})")
            if store is None:
                shape = (len(frame), values.shape[1])
                store = np.lib.format.open_memmap(pending.path, mode="w+", dtype=np.float32, shape=shape)
            store[done : done + len(ids)] = values
            done += len(ids)
        if done != len(frame):
            raise UserError(f"the data lists {len(frame)} images and holds {done}")
        assert store is not None
        store.flush()  # type: ignore[attr-defined]
        seal(pending)
        pending.commit()
