"""What arms are trained on: named by paths, opened once in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

import shards
from dermforge.common import id_ranges as ranges
from dermforge.common.errors import UserError
from evalsuite.training.data import feature_table, other_sets
from evalsuite.training.data.generators import generators
from evalsuite.training.data.open_splits import check_classes, open_splits
from shards import ImageSet
from shards.mixing.sampling_order import few_per_class
from shards.mixing.tensors import TensorSet
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
    untuned
        Folders of shards of a generator that was not tuned.
    external
        Real images of another source, on which every arm is tested too.
    generators_apart
        Each synthetic folder is a generator of its own, also where some were tuned on the same images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    real: Path
    synthetic: tuple[Path, ...] = ()
    features: Path | None = None
    size: int = 64
    keep: tuple[str, ...] | None = None
    untuned: tuple[Path, ...] = ()
    external: Path | None = None
    generators_apart: bool = False


@dataclass(frozen=True)
class Data:
    """Real images by split, synthetic images, and what their generators saw.

    Attributes
    ----------
    seen
        The lineage (real ids, or ranges of them) of each generator.
    made_by
        The generator of each synthetic image, as a position in `seen`.
    header
        What a digest of the images begins with: how they are read.
    untuned, untuned_lineage
        Images of a generator that was not tuned, and what it saw.
    external
        Test images of another source.
    """

    train: TensorSet
    validation: TensorSet
    test: TensorSet
    synthetic: TensorSet | None
    seen: tuple[tuple[str, ...], ...]
    made_by: NDArray[np.int64]
    header: bytes
    untuned: TensorSet | None = None
    untuned_lineage: tuple[str, ...] = ()
    external: TensorSet | None = None

    @property
    def parts(self) -> dict[str, TensorSet]:
        """The sets of images that there are, by name."""
        names = ("train", "validation", "test", "external", "synthetic", "untuned")
        return {name: part for name in names if (part := getattr(self, name)) is not None}

    @property
    def makers(self) -> dict[str, NDArray[np.int64]]:
        """The generator of each image of each part, as a table of features names it."""
        of = {"synthetic": self.made_by, "untuned": len(self.seen)}
        real = feature_table.REAL
        return {n: np.broadcast_to(np.asarray(of.get(n, real), np.int64), part.n) for n, part in self.parts.items()}

    def with_parts(self, parts: Mapping[str, TensorSet]) -> Data:
        """The same data with features, or other images, in place of these parts."""
        return replace(self, **parts)  # type: ignore[arg-type]

    @property
    def classes(self) -> list[str]:
        return self.train.classes

    @property
    def lineage(self) -> tuple[str, ...]:
        """All real ids that any of the generators saw."""
        return tuple(sorted({entry for lineage in self.seen for entry in lineage}))

    @cached_property
    def _own(self) -> list[set[str]]:
        ids = self.train.rows["id"].tolist()
        return [set(ranges.overlap(ids, lineage)) for lineage in self.seen]

    def fitting(self, real: ImageSet) -> list[int]:
        """The generators that were tuned on most of an arm's real images, and on no others of this data set."""
        mine = set(real.rows["id"])
        known = {n: len(own) for n, own in enumerate(self._own) if own and own <= mine}
        return [n for n, count in known.items() if count == max(known.values())]

    def for_arm(self, real: ImageSet, generator: int | None = None) -> Data:
        """The same data with the synthetic images that an arm with these real images may use.

        Keep generators trained only on this arm's images; among them prefer those trained on most. Generators that saw
        none of this data set are kept too. If no generator fits, keep all: the lineage guard refuses them.

        Parameters
        ----------
        generator
            This one of those that fit, and no other; None: all of them.
        """
        kept = self._kept(real, generator)
        if self.synthetic is None or kept is None:
            return self
        rows = np.isin(self.made_by, kept)
        return replace(
            self,
            synthetic=self.synthetic.take(np.flatnonzero(rows)),
            seen=tuple(self.seen[n] for n in kept),
            made_by=np.searchsorted(kept, self.made_by[rows]),
        )

    def digest_for(self, real: ImageSet, generator: int | None = None) -> str:
        """What the images are that an arm with these real images may use, without decoding one.

        It stays the same when images of other generators come in addition.
        """
        kept = self._kept(real, generator)
        if kept not in self._digests:
            parts = self.for_arm(real, generator).parts
            names = [
                name for name in ("train", "validation", "test", "synthetic", "untuned", "external") if name in parts
            ]
            self._digests[kept] = _digest(self.header, [parts[name].rows for name in names])
        return self._digests[kept]

    @cached_property
    def _digests(self) -> dict[tuple[int, ...] | None, str]:
        return {}

    def _kept(self, real: ImageSet, generator: int | None) -> tuple[int, ...] | None:
        """The generators of `for_arm`; None: all, as none fits."""
        fitting = self.fitting(real)
        if generator is not None:
            return tuple(fitting[generator : generator + 1])
        return tuple(sorted({*fitting, *(n for n, own in enumerate(self._own) if not own)})) if fitting else None

    def real(self, n_real: int, seed: int) -> TensorSet:
        """The real images of an arm: `n_real` of each class; 0: all.

        Raises
        ------
        UserError
            A class has fewer.
        """
        counts = np.bincount(self.train.labels, minlength=len(self.classes))
        if counts.min() < n_real:
            raise UserError(
                f"`n_real` is {n_real}, but {self.classes[int(counts.argmin())]} has {counts.min()} training "
                "images; ask for no more"
            )
        return self.train.take(few_per_class(self.train.rows, n_real, seed)) if n_real else self.train

    def synthetic_for(self, real: ImageSet, strategy: str | None = None, generator: int | None = None) -> TensorSet:
        """The synthetic images that an arm with these real images may draw from.

        Raises
        ------
        UserError
            There are none.
        """
        images = self.for_arm(real, generator).synthetic
        if images is None or not images.n:
            raise UserError("there are no synthetic images; give synthetic shards")
        images = images.where(strategy=strategy)
        known = images.rows["parent"].fillna("").isin({"", *real.rows["id"]}).to_numpy()
        if not known.any():
            raise UserError(
                "no synthetic image is left: every one was made from a real image that is not in this arm; "
                "generate from the arm's own images, or use text-to-image samples"
            )
        return images.take(np.flatnonzero(known))

    def scarcest(self, n_real: int, seeds: Iterable[int], strategy: str | None = None) -> tuple[int, str]:
        """The fewest synthetic images of one class that arms of these seeds may draw from, and the class."""
        found = [self.synthetic_for(self.real(n_real, seed), strategy) for seed in seeds]
        counts = np.min([np.bincount(images.labels, minlength=len(self.classes)) for images in found], axis=0)
        return int(counts.min()), self.classes[int(counts.argmin())]


def sets_in(folders: Sequence[Path]) -> tuple[Path, ...]:
    """The folders; one without shards of its own is replaced by its subfolders that hold some."""
    found: list[Path] = []
    for folder in folders:
        inside = [] if is_url(folder) or any(folder.glob("*.tar")) else sorted(p.parent for p in folder.glob("*/*.tar"))
        found += dict.fromkeys(inside or [folder])
    return tuple(found)


def open_data(places: Places) -> Data:
    """Open all images; they are decoded when they are first used.

    Raises
    ------
    UserError
        Something is missing, overlaps, or does not fit together.
    """
    real, sets = _open(places)
    untuned, external = other_sets.open_others(places.untuned, places.external)
    classes = sorted(set(real[0].rows["class"]))
    for images in [*sets, *untuned, *external]:
        if not images.n:
            raise UserError(f"{images} holds no images")
        check_classes(images.rows["class"], classes, str(images))
    other_sets.check(untuned, external, real)
    parts = [TensorSet([images], places.size, classes=classes) for images in real]
    made = [TensorSet(of, places.size, classes=classes) if of else None for of in (sets, untuned, external)]
    seen, made_by = generators(sets, places.generators_apart)
    table = feature_table.read_features(places.features) if places.features is not None else None
    named_by_id = places.keep is not None or (table is not None and not table.by_generator)
    for some, makers in ((made[0], made_by), (made[1], np.zeros(made[1].n if made[1] else 0, dtype=np.int64))):
        if some is not None:
            _check_synthetic(some, makers, named_by_id)
    lineage = tuple(sorted({one for entries in generators(untuned)[0] for one in entries}))
    data = Data(parts[0], parts[1], parts[2], made[0], seen, made_by, _header(places), made[1], lineage, made[2])
    if table is not None:
        data = data.with_parts({n: table.stand_in(of, data.makers[n]) for n, of in data.parts.items()})
    if data.synthetic is not None and places.keep is not None:
        kept = np.flatnonzero(data.synthetic.rows["id"].isin(set(places.keep)))
        data = replace(data, synthetic=data.synthetic.take(kept), made_by=made_by[kept])
    return data


def digest(places: Places) -> str:
    """What the images are, without reading one."""
    others = other_sets.open_others(places.untuned, places.external)
    return _digest(_header(places), [images.rows for part in (*_open(places), *others) for images in part])


def _open(places: Places) -> tuple[list[ImageSet], list[ImageSet]]:
    splits = open_splits(places.real)
    return [splits.train, splits.validation, splits.test], [shards.open_data(folder) for folder in places.synthetic]


def _check_synthetic(images: TensorSet, made_by: NDArray[np.int64], named_by_id: bool) -> None:
    """`named_by_id`: a list or a table names images by their ids alone, whichever generator made them."""
    keys = images.rows[["id"]].assign(made_by=0 if named_by_id else made_by)
    if keys.duplicated().any():
        raise UserError(
            "the same synthetic ids are in two of the synthetic folders; give each set once"
            + (
                ", and sets with ids of their own where a list names them; a table of features tells "
                "sets apart by a column `generator`"
                if named_by_id
                else ""
            )
        )
    wrong = images.rows.loc[images.rows["origin"] != "synthetic", "id"]
    if len(wrong):
        raise UserError(
            f"{images} holds {len(wrong)} images that are not synthetic, the first {wrong.iloc[0]}; put them among the "
            "real images"
        )


def _header(places: Places) -> bytes:
    table = b"" if places.features is None else hashlib.sha256(places.features.read_bytes()).digest()
    return f"{places.size} {places.keep}".encode() + table


def _digest(header: bytes, rows: Iterable[pd.DataFrame]) -> str:
    whole = hashlib.sha256(header)
    for some in rows:
        for name, sha in zip(some["id"], some["image_sha256"], strict=True):
            whole.update(f"{name} {sha}\n".encode())
    return whole.hexdigest()
