"""From shards or folders to pools: the three real splits and the synthetic images, checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import some
from evalsuite.training.data.pool import CACHE_BYTES, Pool, check_classes, square
from shards import ImageSet, ShardSet
from shards.format.schema import SHARD, SPLITS
from shards.storage.location import is_url, place

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Splits:
    """Real images, by their part."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.train.rows["class"])))


def open_images(location: Path) -> ImageSet:
    """Shards, or a plain folder of images with a CSV beside it."""
    folder = Path(location)
    if not is_url(folder) and not folder.is_dir():
        raise UserError(f"{folder} is not a folder; expected one with shards or images")
    if any(folder.glob("*.tar")):
        return ShardSet.open(folder)
    from shards import open_data

    return open_data(folder)


def _in_parts(folder: Path) -> bool:
    if is_url(folder):
        return not any(map(SHARD.match, place(folder).names(missing_ok=True)))
    return all((folder / part).is_dir() for part in SPLITS)


def open_splits(location: Path) -> Splits:
    """Real images: a folder with train/, validation/ and test/, or one set whose samples name their split.

    Raises
    ------
    UserError
        A part is missing, or an id or a cluster is in two parts.
    """
    folder = Path(location)
    if _in_parts(folder):
        parts = [open_images(folder / part) for part in SPLITS]
    else:
        whole = open_images(folder)
        parts = [whole.where(split=part) for part in SPLITS]
    for part, images in zip(SPLITS, parts, strict=True):
        if not images.n:
            raise UserError(
                f"{folder} has no {part} images; expected folders {', '.join(SPLITS)}, or samples whose `split` says so"
            )
    _refuse_shared(dict(zip(SPLITS, parts, strict=True)), folder)
    splits = Splits(*parts)
    if len(splits.classes) < 2:
        raise UserError(f"{folder}: a single class, {splits.classes[0]!r}; a classifier needs at least two")
    for part, images in zip(SPLITS[1:], parts[1:], strict=True):
        check_classes(images.rows["class"], splits.classes, f"the {part} part of {folder}")
    return splits


def load(images: ImageSet, classes: Sequence[str], size: int, tick: Tick | None = None, *, lazy: bool = False) -> Pool:
    """A pool of all images of a set, decoded once if they fit into memory.

    Raises
    ------
    UserError
        Empty, or a class that the real training images do not have.
    """
    if not images.n:
        raise UserError(f"{images} holds no images")
    rows = images.rows
    check_classes(rows["class"], classes, str(images))
    number = {name: i for i, name in enumerate(classes)}
    fits = not lazy and images.n * 3 * size * size <= CACHE_BYTES
    ids = rows["id"].to_numpy(str)
    return Pool(
        x=decode(images, size, tick) if fits else _Stored(images, size),
        ids=ids,
        classes=tuple(classes),
        labels=np.array([number[c] for c in rows["class"]], dtype=np.int64),
        synthetic=(rows["origin"] == "synthetic").to_numpy(bool),
        groups=_groups(rows),
        clusters=_text(rows["cluster"], ids),
        parents=_text(rows["parent"], np.full(len(ids), "")),
        origins=rows["origin"].to_numpy(str),
        strategies=_text(rows["strategy"], np.full(len(ids), "")),
    )


def decode(images: ImageSet, size: int, tick: Tick | None = None) -> Tensor:
    """All images as squares, uint8 [n, 3, size, size]."""
    out = torch.empty(images.n, 3, size, size, dtype=torch.uint8)
    for position in range(images.n):
        out[position] = _tensor(images, position, size)
        if tick:
            tick(1)
    return out


@dataclass(frozen=True)
class _Stored:
    """Images read by offset when they are asked for."""

    images: ImageSet
    size: int
    threads: int = 4

    def __getitem__(self, rows: Tensor) -> Tensor:
        with ThreadPoolExecutor(self.threads) as pool:
            return torch.stack(list(pool.map(lambda r: _tensor(self.images, r, self.size), rows.tolist())))


def _tensor(images: ImageSet, position: int, size: int) -> Tensor:
    _, image = images.image_at(position, verify=False)
    return torch.from_numpy(np.array(square(image, size))).permute(2, 0, 1)


def _groups(rows: pd.DataFrame) -> pd.DataFrame:
    """`group` and every other attribute as columns, "unknown" where absent."""
    columns = {"group": [g if g is not None else "unknown" for g in rows["group"]]}
    attributes = rows["attributes"].tolist() if "attributes" in rows else []
    for name in sorted({key for held in attributes for key in held or {}} - {"group", "id", "label", "cluster"}):
        columns[name] = [(held or {}).get(name, "unknown") for held in attributes]
    return pd.DataFrame(columns, dtype=str)


def _text(column: pd.Series, absent: np.ndarray) -> np.ndarray:
    return np.array([a if v is None or v != v else str(v) for v, a in zip(column, absent, strict=True)], dtype=str)


def _refuse_shared(parts: dict[str, ImageSet], folder: Path) -> None:
    names = list(parts)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            for column in ("id", "cluster"):
                shared = set(parts[a].rows[column].dropna()) & set(parts[b].rows[column].dropna())
                if shared:
                    raise UserError(
                        f"{len(shared)} {column}s are in {a} and in {b} of {folder} ({some(shared, 20)}); "
                        "the parts must be disjoint: drop them from one"
                    )
