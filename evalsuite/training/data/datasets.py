"""What arms are trained on: named by paths, opened once in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dermforge.common import id_ranges as ranges
from dermforge.common.errors import UserError
from evalsuite.training import frozen_features
from evalsuite.training.data import lineage_guard as guard
from evalsuite.training.data import open_splits as images
from evalsuite.training.data.pool import Pool, few_per_class, join, with_parents_among
from shards import ImageSet, ShardSet
from shards.storage.location import is_url


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
    """Real images by split, synthetic images, and what their generators saw.

    Attributes
    ----------
    seen
        The lineage (real ids, or ranges of them) of each generator.
    made_by
        The generator of each synthetic image, as a position in `seen`.
    """

    train: Pool
    validation: Pool
    test: Pool
    synthetic: Pool | None
    seen: tuple[tuple[str, ...], ...]
    made_by: NDArray[np.int64]
    digest: str

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    @property
    def lineage(self) -> tuple[str, ...]:
        """All real ids that any of the generators saw."""
        return tuple(sorted({entry for lineage in self.seen for entry in lineage}))

    @cached_property
    def _own(self) -> list[set[str]]:
        ids = self.train.ids.tolist()
        return [set(ranges.overlap(ids, lineage)) for lineage in self.seen]

    def for_arm(self, real: Pool) -> Data:
        """With the synthetic images that these real ones may have beside them, where several generators were given.

        Of the generators that saw images of this data set those stay that saw none but these, and of them those that
        saw most; generators that saw none of this data set stay. If no tuned one fits, all stay: the lineage guard
        speaks of them.
        """
        mine = set(real.ids.tolist())
        fitting = [len(own) for own in self._own if own and own <= mine]
        if self.synthetic is None or not fitting:
            return self
        stay = [n for n, own in enumerate(self._own) if not own or (own <= mine and len(own) == max(fitting))]
        rows = np.isin(self.made_by, stay)
        return replace(
            self,
            synthetic=self.synthetic.take(rows),
            seen=tuple(self.seen[n] for n in stay),
            made_by=np.searchsorted(stay, self.made_by[rows]),
        )

    def real(self, n_real: int, seed: int) -> Pool:
        """The real images of an arm: so many of each class; 0: all.

        Raises
        ------
        UserError
            A class has fewer.
        """
        counts = np.bincount(self.train.labels, minlength=len(self.classes))
        if counts.min() < n_real:
            raise UserError(
                f"--n-real {n_real}, but {self.classes[int(counts.argmin())]} has {counts.min()} training "
                "images; ask for no more"
            )
        return few_per_class(self.train, n_real, seed) if n_real else self.train

    def beside(self, real: Pool, strategy: str | None = None) -> Pool:
        """The synthetic images that an arm with these real ones may draw from.

        Raises
        ------
        UserError
            There are none.
        """
        pool = self.for_arm(real).synthetic
        if pool is None or not pool.n:
            raise UserError("there are no synthetic images; give --synthetic")
        return with_parents_among(pool if strategy is None else pool.take(pool.strategies == strategy), real)

    def scarcest(self, n_real: int, seeds: Iterable[int], strategy: str | None = None) -> tuple[int, str]:
        """The fewest synthetic images of one class that arms of these seeds may draw from, and the class."""
        pools = [self.beside(self.real(n_real, seed), strategy) for seed in seeds]
        counts = np.min([np.bincount(pool.labels, minlength=len(pool.classes)) for pool in pools], axis=0)
        return int(counts.min()), self.classes[int(counts.argmin())]


def sets_in(folders: Sequence[Path]) -> tuple[Path, ...]:
    """The folders, and instead of one that has no shards itself those in it that have."""
    found: list[Path] = []
    for folder in folders:
        inside = [] if is_url(folder) or any(folder.glob("*.tar")) else sorted(p.parent for p in folder.glob("*/*.tar"))
        found += dict.fromkeys(inside or [folder])
    return tuple(found)


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
    seen, made_by = _generators(sets)
    if places.features is None:
        pools = [images.load(s, splits.classes, places.size, tick) for s in (*real, *sets)]
        by_id = places.keep is not None
    else:
        table = frozen_features.read_table(places.features)
        makers = np.concatenate([np.full(sum(s.n for s in real), frozen_features.REAL), made_by])
        ends = np.cumsum([s.n for s in (*real, *sets)])
        pools = [
            _with_features(s, splits.classes, places, table, makers[end - s.n : end])
            for s, end in zip((*real, *sets), ends, strict=True)
        ]
        by_id = places.keep is not None or not table.by_generator
    synthetic, kept = _synthetic(pools[3:], made_by, places, by_id)
    return Data(pools[0], pools[1], pools[2], synthetic, seen, made_by[kept], _digest(real, sets, places))


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
    leaks = guard.held_out_leaks(data.lineage, parents, (data.validation, data.test), data.train if is_image else None)
    return guard.refuse(leaks, allow)


def _with_features(
    images_: ImageSet, classes: Sequence[str], places: Places, table: frozen_features.Table, made_by: NDArray[np.int64]
) -> Pool:
    pool = images.load(images_, classes, places.size, lazy=True)
    values, missing = table.of(pool.ids.tolist(), made_by)
    if missing:
        raise UserError(
            f"{places.features} lacks the features of {len(missing)} images of {images_}, the first "
            f"{missing[0]}; compute them for all"
        )
    return replace(pool, x=values)


def _synthetic(
    pools: Sequence[Pool], made_by: NDArray[np.int64], places: Places, by_id: bool
) -> tuple[Pool | None, NDArray[np.bool_]]:
    """All sets as one, and which of their images are in it; `by_id`: something names images by their ids alone."""
    if not pools:
        return None, np.zeros(0, dtype=bool)
    pool = pools[0] if len(pools) == 1 else join(pools)
    if pd.DataFrame({"id": pool.ids, "by": 0 if by_id else made_by}).duplicated().any():
        raise UserError(
            "the same synthetic ids are in two of the --synthetic folders; give each set once"
            + (
                ", and sets with ids of their own where a list names them; a table of features tells "
                "sets apart by a column `generator`"
                if by_id
                else ""
            )
        )
    if not pool.synthetic.all():
        wrong = pool.ids[~pool.synthetic]
        raise UserError(
            f"--synthetic holds {len(wrong)} images that are not synthetic, the first {wrong[0]}; put real "
            "images under --real"
        )
    kept = np.ones(pool.n, dtype=bool) if places.keep is None else np.isin(pool.ids, np.array(places.keep))
    return pool.take(kept), kept


def _generators(sets: Sequence[ImageSet]) -> tuple[tuple[tuple[str, ...], ...], NDArray[np.int64]]:
    """The lineage of each generator, and the generator of each image."""
    numbers: dict[tuple[str, ...], int] = {}
    parts = [np.zeros(0, dtype=np.int64)]
    for images_ in sets:
        shards = images_.sidecars if isinstance(images_, ShardSet) else []
        mine = [numbers.setdefault(tuple(sorted(s.lineage)), len(numbers)) for s in shards]
        parts.append(
            np.array(mine)[images_.rows["shard"]] if mine else np.full(images_.n, numbers.setdefault((), len(numbers)))
        )
    return tuple(numbers), np.concatenate(parts)


def _digest(real: Sequence[ImageSet], sets: Sequence[ImageSet], places: Places) -> str:
    whole = hashlib.sha256(f"{places.size} {places.keep}".encode())
    if places.features is not None:
        whole.update(hashlib.sha256(places.features.read_bytes()).digest())
    for images_ in (*real, *sets):
        for name, sha in zip(images_.rows["id"], images_.rows["image_sha256"], strict=True):
            whole.update(f"{name} {sha}\n".encode())
    return whole.hexdigest()
