"""The training images, prepared on disk for nearest-image search; memory holds blocks, not the set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.console import progress
from dermforge.common.errors import UserError
from evalsuite.images.features.features import ImageData, describe, families, read_kept
from evalsuite.images.privacy.registration import Query, Target, match
from evalsuite.images.privacy.thumbnails import (
    BOXES,
    SIDE,
    Lab,
    coarse,
    hamming,
    perceptual_hash,
    small_lab,
    turned,
    views,
)

CANDIDATES = 12
BLOCK = 512  # training images compared at a time


@dataclass(frozen=True)
class Index:
    """pictures: float16 [n, SIDE, SIDE, 3]; views: float16 [n, boxes, d], both memory-mapped; hashes [n]."""

    frame: pd.DataFrame
    pictures: NDArray[np.float16]
    views: NDArray[np.float16]
    hashes: NDArray[np.uint64]


def build(data: ImageData, folder: Path, what: str = "index of training images") -> Index:
    """Prepare a training set in one pass; kept in `folder` under the digest of its images."""
    frame = describe(data)
    if frame.empty:
        raise UserError("the training set is empty; nothing can be a copy of it")
    digest = hashlib.sha256(b"copies/1" + "".join(f"{r.id}:{r.image_sha256}\n" for r in frame.itertuples()).encode())
    base = folder / f"copies-{digest.hexdigest()[:24]}"
    names = [base.with_suffix(f".{part}.npy") for part in ("pictures", "views", "hashes")]
    if not all(name.exists() for name in names):
        folder.mkdir(parents=True, exist_ok=True)
        _write(data, len(frame), names, what)
    pictures, vectors, hashes = (read_kept(name, len(frame)) for name in names)
    return Index(frame, pictures, vectors, np.asarray(hashes))


def _write(data: ImageData, n: int, names: list[Path], what: str) -> None:
    """Stream into temporary files; the hashes get their name last and mark the three as whole."""
    partial = [name.with_name(f".{name.name}.tmp-{os.getpid()}") for name in names]
    hashes = np.zeros(n, dtype=np.uint64)
    width = coarse(np.zeros((SIDE, SIDE, 3), dtype=np.float32)).size
    try:
        pictures = np.lib.format.open_memmap(partial[0], "w+", np.float16, (n, SIDE, SIDE, 3))
        vectors = np.lib.format.open_memmap(partial[1], "w+", np.float16, (n, len(BOXES), width))
        with progress(what, n) as tick:
            for i, (_, image) in enumerate(data.images()):
                lab = small_lab(image)
                pictures[i], vectors[i], hashes[i] = lab, views(lab), perceptual_hash(lab)
                tick()
        del pictures, vectors
        with partial[2].open("wb") as stream:
            np.save(stream, hashes, allow_pickle=False)
        for temporary, name in zip(partial, names, strict=True):
            os.replace(temporary, name)
    finally:
        for temporary in partial:
            temporary.unlink(missing_ok=True)


def search(
    index: Index,
    data: ImageData,
    what: str = "nearest training images",
    *,
    leave_out_self: bool = False,
    only: frozenset[str] | None = None,
) -> pd.DataFrame:
    """One row an image: id, class, group, strategy, parent, nearness in each space, nearest training images.

    `nearest` is by the pixels, `nearest_phash` by the perceptual hash. In every space larger is nearer. `apart` and
    `distinct` are how far the best closeness and the best correlation of detail (Fisher's z) stand out from those of
    the other candidates: a plain spot is as like a dozen training images as one, and a copy is like one.

    Every orientation (mirrored, upside down, both) is compared coarsely with every part of every training image;
    the best `CANDIDATES` are laid over exactly.

    Parameters
    ----------
    leave_out_self
        Ignore the image itself and its cluster: how near training images lie to each other.
    only
        Ids to search for; None for all.
    """
    records = []
    of = families(index.frame)
    own = dict(zip(index.frame["id"], of, strict=True)) if leave_out_self else None
    total = len(data.rows) if only is None else len(only)
    with progress(what, total) as tick:
        for block in _blocks(data, only):
            queries = [[Query(t) for t in turned(small_lab(image))] for _, image in block]
            vectors = np.stack([[coarse(q.lab) for q in turns] for turns in queries])
            near, view = _nearest(index, vectors)
            for k, (sample, _) in enumerate(block):
                allowed = None
                if own is not None:
                    allowed = of != own.get(sample.id, sample.id)
                found = _refine(index, queries[k], near[k], view[k], allowed, of)
                records.append(
                    {
                        "id": sample.id,
                        "class": sample.label,
                        "group": sample.group,
                        "strategy": sample.strategy,
                        "parent": sample.parent,
                        "cluster": sample.cluster,
                        "mask": sample.mask,
                        **found,
                    }
                )
                tick()
    return pd.DataFrame(records)


def _blocks(data: ImageData, only: frozenset[str] | None, size: int = 32) -> Iterator[list]:
    block = []
    for sample, image in data.images():
        if only is None or sample.id in only:
            block.append((sample, image))
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _nearest(index: Index, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Coarse similarity of each query to each training image [q, n], and its best (turn, view) as one number."""
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


def _refine(
    index: Index,
    turns: list[Query],
    similarity: NDArray[np.float32],
    best: NDArray[np.int16],
    allowed: NDArray[np.bool_] | None,
    of: NDArray[np.object_],
) -> dict[str, object]:
    if allowed is not None:
        similarity = np.where(allowed, similarity, -2)
    count = min(CANDIDATES, len(similarity))
    candidates = np.argpartition(-similarity, count - 1)[:count]
    matches = []
    for i in candidates:
        turn, view = divmod(int(best[i]), len(BOXES))
        target = Target(index.pictures[i].astype(np.float32))
        matches.append(match(turns[turn], target, BOXES[view][2] / SIDE))
    distance = np.min([hamming(index.hashes, perceptual_hash(q.lab)) for q in turns], axis=0)
    if allowed is not None:
        distance = np.where(allowed, distance, 64)
    closest = max(range(count), key=lambda k: matches[k].closeness)
    ids = index.frame["id"].to_numpy()
    return {
        "nearest": ids[candidates[closest]],
        "nearest_phash": ids[int(distance.argmin())],
        "closeness": matches[closest].closeness,
        "structure": max(m.structure for m in matches),
        "apart": _stands_out(np.array([m.closeness for m in matches]), of[candidates]),
        "distinct": _stands_out(np.arctanh(np.clip([m.structure for m in matches], -0.9999, 0.9999)), of[candidates]),
        "phash": -float(distance.min()),
    }


def _stands_out(values: NDArray[np.floating], of: NDArray[np.object_]) -> float:
    """The largest value less the median of those with other families' images."""
    best = int(values.argmax())
    others = values[of != of[best]]
    return float(values[best] - np.median(others)) if len(others) else 0.0


def picture(index: Index, id: str) -> Lab:
    """The small picture of a training image."""
    row = int(np.flatnonzero((index.frame["id"] == id).to_numpy())[0])
    return index.pictures[row].astype(np.float32)
