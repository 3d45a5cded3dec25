"""What arms are trained on: named by paths, opened once in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from evalsuite import lineage as guard
from evalsuite.training import data as images
from evalsuite.training import features
from evalsuite.training.pool import Pool, join
from shards import ImageSet, ShardSet
from shards.errors import UserError


class Places(BaseModel):
    """Where the images are.

    Attributes
    ----------
    real
        A folder with train/, validation/ and test/.
    synthetic
        Folders of shards; none for real images only.
    features
        A parquet table of features (id, f0, f1, ...) of all those images; images themselves where None.
    keep
        Ids of synthetic images to use (a filter's list); None: all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    real: Path
    synthetic: tuple[Path, ...] = ()
    features: Path | None = None
    size: int = 64
    keep: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Data:
    """Real images by split, synthetic images, and the real ids that their generators saw."""

    train: Pool
    validation: Pool
    test: Pool
    synthetic: Pool | None
    lineage: tuple[str, ...]
    digest: str

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes


def open_data(places: Places, tick: Callable[[int], None] | None = None) -> Data:
    """Open and, where they fit, decode all images.

    Raises
    ------
    UserError
        Something is missing, overlaps, or does not fit together.
    """
    splits = images.open_splits(places.real)
    sets = [images.open_images(folder) for folder in places.synthetic]
    real = [splits.train, splits.validation, splits.test]
    pools = [_pool(s, splits.classes, places, tick) for s in (*real, *sets)]
    synthetic = _synthetic(pools[3:], places)
    names = sorted({entry for s in sets for entry in _lineage(s)})
    return Data(pools[0], pools[1], pools[2], synthetic, tuple(names), _digest(real, sets, places))


def digest(places: Places) -> str:
    """What the images are, without reading one."""
    splits = images.open_splits(places.real)
    sets = [images.open_images(folder) for folder in places.synthetic]
    return _digest([splits.train, splits.validation, splits.test], sets, places)


def check_held_out(data: Data, allow: bool) -> list[str]:
    """Refuse when the generator saw validation or test images; the allowed leaks as text."""
    if data.synthetic is None:
        return []
    parents = set(data.synthetic.parents.tolist()) - {""}
    is_image = data.train.x[torch.tensor([0])].ndim == 4
    leaks = guard.held_out_leaks(
        data.lineage, parents, (data.validation, data.test), data.train if is_image else None
    )
    return guard.refuse(leaks, allow)


def _pool(images_: ImageSet, classes: Sequence[str], places: Places, tick: Callable[[int], None] | None) -> Pool:
    if places.features is None:
        return images.load(images_, classes, places.size, tick)
    pool = images.load(images_, classes, places.size, lazy=True)
    ids, values = features.read_table(places.features)
    row = {name: i for i, name in enumerate(ids)}
    missing = [name for name in pool.ids.tolist() if name not in row]
    if missing:
        raise UserError(f"{places.features} lacks the features of {len(missing)} images of {images_}, the first "
                        f"{missing[0]}; compute them for all")
    return replace(pool, x=values[torch.tensor([row[name] for name in pool.ids.tolist()])])


def _synthetic(pools: Sequence[Pool], places: Places) -> Pool | None:
    if not pools:
        return None
    pool = pools[0] if len(pools) == 1 else join(pools)
    if len(set(pool.ids.tolist())) < pool.n:
        raise UserError("the same synthetic ids are in two of the --synthetic folders; give each set once")
    if not pool.synthetic.all():
        wrong = pool.ids[~pool.synthetic]
        raise UserError(f"--synthetic holds {len(wrong)} images that are not synthetic, the first {wrong[0]}; put real "
                        "images under --real")
    return pool if places.keep is None else pool.take(np.isin(pool.ids, np.array(places.keep)))


def _lineage(images_: ImageSet) -> list[str]:
    return [entry for s in images_.sidecars for entry in s.lineage] if isinstance(images_, ShardSet) else []


def _digest(real: Sequence[ImageSet], sets: Sequence[ImageSet], places: Places) -> str:
    whole = hashlib.sha256(f"{places.size} {places.keep}".encode())
    if places.features is not None:
        whole.update(hashlib.sha256(places.features.read_bytes()).digest())
    for images_ in (*real, *sets):
        for name, sha in zip(images_.rows["id"], images_.rows["image_sha256"], strict=True):
            whole.update(f"{name} {sha}\n".encode())
    return whole.hexdigest()
