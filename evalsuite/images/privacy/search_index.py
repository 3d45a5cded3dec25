"""Nearest-image search among training images prepared on disk; memory holds blocks, not the whole set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.atomic import Pending
from dermforge.common.errors import UserError
from evalsuite.images.features.extract import read_stored
from evalsuite.images.image_data import ImageData, Track, describe, families, in_batches, sample_record, untracked
from evalsuite.images.privacy.descriptors import (
    BOXES,
    COARSE,
    SIDE,
    Lab,
    coarse,
    hamming,
    perceptual_hash,
    small_lab,
    turned,
    views,
)
from evalsuite.images.privacy.registration import FixedPicture, MovingPicture, match
from shards.format.schema import Sample

CANDIDATES = 12
BLOCK = 512  # training images compared at a time
SEARCHED = 32  # images searched for at a time


@dataclass(frozen=True)
class TrainingIndex:
    """pictures: float16 [n, SIDE, SIDE, 3]; views: float16 [n, boxes, d]; both memory-mapped; family, hashes [n]."""

    frame: pd.DataFrame
    family: NDArray[np.object_]
    pictures: NDArray[np.float16]
    views: NDArray[np.float16]
    hashes: NDArray[np.uint64]


def build(data: ImageData, folder: Path, track: Track = untracked) -> TrainingIndex:
    """Prepare a training set in one pass, or read it from `folder`, where it lies under the digest of its images."""
    frame = describe(data)
    if frame.empty:
        raise UserError("the training set is empty; nothing can be a copy of it")
    digest = hashlib.sha256(b"copies/1" + "".join(f"{r.id}:{r.image_sha256}\n" for r in frame.itertuples()).encode())
    base = folder / f"copies-{digest.hexdigest()[:24]}"
    names = [base.with_suffix(f".{part}.npy") for part in ("pictures", "views", "hashes")]
    if not all(name.exists() for name in names):
        folder.mkdir(parents=True, exist_ok=True)
        _write(track(data.images(), "index of training images", len(frame)), len(frame), names)
    pictures, vectors, hashes = (read_stored(name, len(frame)) for name in names)
    return TrainingIndex(frame, families(frame), pictures, vectors, np.asarray(hashes))


def _write(images: Iterable[tuple[Sample, NDArray[np.uint8]]], n: int, names: list[Path]) -> None:
    """Stream into temporary files; the hashes get their name last, which marks all three files as complete."""
    shapes: list[tuple[int, ...]] = [(n, SIDE, SIDE, 3), (n, len(BOXES), COARSE * COARSE * 3), (n,)]
    with ExitStack() as stack:
        files = [stack.enter_context(Pending(name, fsync=False)) for name in names]
        kinds = (np.float16, np.float16, np.uint64)
        created = zip(files, kinds, shapes, strict=True)
        stores = [np.lib.format.open_memmap(file.path, "w+", kind, shape) for file, kind, shape in created]
        for i, (_, image) in enumerate(images):
            lab = small_lab(image)
            for store, value in zip(stores, (lab, views(lab), perceptual_hash(lab)), strict=True):
                store[i] = value
        for store, file in zip(stores, files, strict=True):
            store.flush()
            file.commit()


def search(
    index: TrainingIndex,
    data: ImageData,
    what: str = "nearest training images",
    *,
    leave_out_self: bool = False,
    track: Track = untracked,
) -> pd.DataFrame:
    """One row per image: id, class, group, strategy, parent, nearness in each space, nearest training images.

    `nearest` is by the pixels, `nearest_phash` by the perceptual hash. In every space larger is nearer. `apart` and
    `distinct` say how far the best closeness and the best correlation of detail (Fisher's z) stand out from those of
    the other candidates: a plain spot resembles a dozen training images equally, while a copy resembles one.

    Every orientation (mirrored, upside down, both) is compared coarsely with every part of every training image. The
    best `CANDIDATES` are then registered exactly. `what` names the pass in the progress display.

    Parameters
    ----------
    leave_out_self
        Ignore the training images of the image's own family, to measure how near training images lie to each other.
    """
    records = []
    own = dict(zip(index.frame["id"], index.family, strict=True)) if leave_out_self else None
    for block in in_batches(track(data.images(), what, len(data.rows)), SEARCHED):
        orientations = [[MovingPicture(t) for t in turned(small_lab(image))] for _, image in block]
        vectors = np.stack([[coarse(picture.lab) for picture in turns] for turns in orientations])
        near, view = _nearest(index, vectors)
        for k, (sample, _) in enumerate(block):
            allowed = None if own is None else index.family != own.get(sample.id, sample.id)
            found = _register(index, orientations[k], near[k], view[k], allowed)
            records.append(sample_record(sample) | {"mask": sample.mask} | found)
    return pd.DataFrame(records)


def _nearest(index: TrainingIndex, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Coarse similarity of each image to each training image [q, n], and its best (turn, view) as one number."""
    q, turns, d = vectors.shape
    similarity = np.empty((q, len(index.frame)), dtype=np.float32)
    best = np.empty((q, len(index.frame)), dtype=np.int16)
    for start in range(0, len(index.frame), BLOCK):
        part = np.asarray(index.views[start : start + BLOCK], dtype=np.float32)
        n, boxes, _ = part.shape
        product = vectors.reshape(-1, d) @ part.reshape(-1, d).T
        product = product.reshape(q, turns, n, boxes).transpose(0, 2, 1, 3).reshape(q, n, turns * boxes)
        best[:, start : start + n] = product.argmax(-1)
        similarity[:, start : start + n] = product.max(-1)
    return similarity, best


def _register(
    index: TrainingIndex,
    turns: list[MovingPicture],
    similarity: NDArray[np.float32],
    best: NDArray[np.int16],
    allowed: NDArray[np.bool_] | None,
) -> dict[str, object]:
    """Nearness of an image in each space, from its registration to the candidates among the allowed training images."""
    if allowed is not None:
        similarity = np.where(allowed, similarity, -2)
    count = min(CANDIDATES, len(similarity))
    candidates = np.argpartition(-similarity, count - 1)[:count]
    matches = []
    for i in candidates:
        turn, view = divmod(int(best[i]), len(BOXES))
        fixed = FixedPicture(index.pictures[i].astype(np.float32))
        matches.append(match(turns[turn], fixed, BOXES[view][2] / SIDE))
    distance = np.min([hamming(index.hashes, perceptual_hash(picture.lab)) for picture in turns], axis=0)
    if allowed is not None:
        distance = np.where(allowed, distance, 64)
    closest = max(range(count), key=lambda k: matches[k].closeness)
    ids, of = index.frame["id"].to_numpy(), index.family[candidates]
    return {
        "nearest": ids[candidates[closest]],
        "nearest_phash": ids[int(distance.argmin())],
        "closeness": matches[closest].closeness,
        "structure": max(m.structure for m in matches),
        "apart": _stands_out(np.array([m.closeness for m in matches]), of),
        "distinct": _stands_out(np.arctanh(np.clip([m.structure for m in matches], -0.9999, 0.9999)), of),
        "phash": -float(distance.min()),
    }


def _stands_out(values: NDArray[np.floating], of: NDArray[np.object_]) -> float:
    """The largest value less the median of those of other families' images."""
    best = int(values.argmax())
    others = values[of != of[best]]
    return float(values[best] - np.median(others)) if len(others) else 0.0


def picture(index: TrainingIndex, id: str) -> Lab:
    """The small picture of a training image."""
    row = int(np.flatnonzero((index.frame["id"] == id).to_numpy())[0])
    return np.asarray(index.pictures[row].astype(np.float32))
