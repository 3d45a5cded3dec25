"""Nearest-image search among training images prepared on disk; memory holds blocks, not the whole set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dermforge.common.atomic import Pending
from dermforge.common.errors import UserError
from dermforge.common.sealed_file import is_reusable, seal
from evalsuite.images.features.extract import read_stored
from evalsuite.images.image_data import ImageData, Track, describe, families, in_batches, sample_record, untracked
from evalsuite.images.privacy import polar
from evalsuite.images.privacy.descriptors import SIDE, Lab, centre_square, hamming, perceptual_hash, small_lab, turned
from evalsuite.images.privacy.registration import align, compare
from shards.format.schema import Sample

CANDIDATES = 12
BLOCK = 256  # training images compared at a time
SEARCHED = 32  # images searched for at a time


@dataclass(frozen=True)
class TrainingIndex:
    """A prepared training set.

    Attributes
    ----------
    frame, family, hashes
        What is known of each image, its family, and its perceptual hash, [n].
    pictures
        Small CIELAB pictures, float16 [n, SIDE, SIDE, 3], memory-mapped.
    views
        Polar descriptors of all parts of all images, float16 [m, polar.SIZE], memory-mapped.
    discs, first
        The parts [m, 4], and the row of the first part of each image, [n + 1].
    """

    frame: pd.DataFrame
    family: NDArray[np.object_]
    pictures: NDArray[np.float16]
    views: NDArray[np.float16]
    hashes: NDArray[np.uint64]
    discs: NDArray[np.float32]
    first: NDArray[np.intp]


def build(data: ImageData, folder: Path, track: Track = untracked) -> TrainingIndex:
    """Prepare a training set in one pass, or read it from `folder`, where it lies under the digest of its images."""
    frame = describe(data)
    if frame.empty:
        raise UserError("the training set is empty; nothing can be a copy of it")
    digest = hashlib.sha256(b"copies/2" + "".join(f"{r.id}:{r.image_sha256}\n" for r in frame.itertuples()).encode())
    base = folder / f"copies-{digest.hexdigest()[:24]}"
    names = [base.with_suffix(f".{part}") for part in ("views", "pictures.npy", "shapes.npy", "hashes.npy")]
    if not is_reusable(*names):
        folder.mkdir(parents=True, exist_ok=True)
        _write(track(data.images(), "index of training images", len(frame)), len(frame), names)
    pictures, shapes, hashes = (read_stored(name, len(frame)) for name in names[1:])
    parts = [polar.discs((float(tall), float(wide))) for tall, wide in shapes]
    first = np.cumsum([0, *map(len, parts)])
    views = np.memmap(names[0], np.float16, "r", shape=(int(first[-1]), polar.SIZE))
    return TrainingIndex(frame, families(frame), pictures, views, np.asarray(hashes), np.concatenate(parts), first)


def _write(images: Iterable[tuple[Sample, NDArray[np.uint8]]], n: int, names: list[Path]) -> None:
    """Stream into temporary files; the hashes get their name last, which marks all files as complete."""
    kinds = ((np.float16, (n, SIDE, SIDE, 3)), (np.float64, (n, 2)), (np.uint64, (n,)))
    with ExitStack() as stack:
        views, *files = [stack.enter_context(Pending(name, fsync=False)) for name in names]
        stores = [np.lib.format.open_memmap(f.path, "w+", *kind) for f, kind in zip(files, kinds, strict=True)]
        for i, (_, image) in enumerate(images):
            lab, shape = small_lab(image), polar.shape_of(*image.shape[:2])
            views.write([polar.describe_parts(lab, shape).astype(np.float16).tobytes()])
            for store, value in zip(stores, (lab, shape, perceptual_hash(lab)), strict=True):
                store[i] = value
        for store in stores:
            store.flush()
        for file in (views, *files):
            seal(file)
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

    The middle of each image, at every angle and mirrored, is compared roughly with every part of every training image.
    The best `CANDIDATES` are then registered exactly. `what` names the pass in the progress display.

    Parameters
    ----------
    leave_out_self
        Ignore the training images of the image's own family, to measure how near training images lie to each other.
    """
    records: list[dict[str, object]] = []
    own = dict(zip(index.frame["id"], index.family, strict=True)) if leave_out_self else None
    for block in in_batches(track(data.images(), what, len(data.rows)), SEARCHED):
        labs = np.stack([small_lab(centre_square(image)) for _, image in block])
        kin = None if own is None else [own.get(sample.id, sample.id) for sample, _ in block]
        allowed = np.array([index.family != k for k in kin]) if kin else np.ones((len(block), len(index.frame)), bool)
        candidates, starts = _candidates(index, labs, allowed)
        structure, closeness = _registered(index, labs, candidates, starts)
        for k, (sample, image) in enumerate(block):
            hashes = [perceptual_hash(np.asarray(t)) for t in turned(small_lab(image))]
            distance = np.where(allowed[k], np.min([hamming(index.hashes, h) for h in hashes], axis=0), 64)
            found = _nearest(index, candidates[k], structure[k], closeness[k])
            found |= {"nearest_phash": index.frame["id"].iloc[int(distance.argmin())], "phash": -float(distance.min())}
            records.append(sample_record(sample) | {"mask": sample.mask} | found)
    return pd.DataFrame(records)


def _candidates(
    index: TrainingIndex, labs: NDArray[np.float32], allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The training images that look most like each picture [q, k], and the places where they do, [q, k, 2, 3]."""
    turns = polar.turned_descriptors(np.stack([polar.describe_whole(lab) for lab in labs]))
    similarity = np.empty(allowed.shape, dtype=np.float32)
    for start in range(0, len(index.frame), BLOCK):
        first = index.first[start : start + BLOCK + 1]
        part = np.asarray(index.views[first[0] : first[-1]], dtype=np.float32)
        best = (turns.reshape(-1, polar.SIZE) @ part.T).reshape(*turns.shape[:2], -1).max(1)
        similarity[:, start : start + BLOCK] = np.maximum.reduceat(best, first[:-1] - first[0], axis=1)
    similarity[~allowed] = -np.inf
    count = min(CANDIDATES, len(index.frame))
    chosen = np.asarray(np.argpartition(-similarity, count - 1, axis=1)[:, :count])
    places = np.empty((*chosen.shape, 2, 3), dtype=np.float32)
    for k, row in np.ndindex(chosen.shape):
        view = slice(*index.first[chosen[k, row] : chosen[k, row] + 2])
        likeness = turns[k] @ index.views[view].astype(np.float32).T
        turn, disc = divmod(int(likeness.argmax()), likeness.shape[1])
        places[k, row] = polar.placement(turn, index.discs[view][disc])
    return chosen, places


def _registered(
    index: TrainingIndex, labs: NDArray[np.float32], candidates: NDArray[np.intp], starts: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Structure and closeness of each picture with each of its candidates, [q, k]."""
    moving = torch.from_numpy(labs).permute(0, 3, 1, 2).repeat_interleave(candidates.shape[1], 0)
    fixed = torch.from_numpy(index.pictures[candidates.ravel()].astype(np.float32)).permute(0, 3, 1, 2)
    place = align(moving[:, 0], fixed[:, 0], torch.from_numpy(starts).flatten(0, 1))
    structure, closeness = (v.double().numpy().reshape(candidates.shape) for v in compare(moving, fixed, place))
    return structure, closeness


def _nearest(
    index: TrainingIndex, candidates: NDArray[np.intp], structure: NDArray[np.float64], closeness: NDArray[np.float64]
) -> dict[str, object]:
    """The nearest of the candidates, how near it is, and how far that stands out from the others."""
    of, z = index.family[candidates], np.arctanh(np.clip(structure, -0.9999, 0.9999))
    apart, distinct = _stands_out(closeness, of), _stands_out(z, of)
    likeness = closeness + z
    return {
        "nearest": index.frame["id"].iloc[int(candidates[likeness.argmax()])],
        "closeness": float(closeness.max()),
        "structure": float(structure.max()),
        "apart": apart,
        "distinct": distinct,
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
