"""Sets beside a run's own: images of a generator that was not tuned, and an external test set."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import shards
from dermforge.common import id_ranges as ranges
from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import some
from evalsuite.training.data import lineage_guard as guard
from shards import ImageSet, ShardSet
from shards.mixing.tensors import TensorSet


def open_others(untuned: Sequence[Path], external: Path | None) -> tuple[list[ImageSet], list[ImageSet]]:
    """Both as sets; each may be empty."""
    return [shards.open_data(folder) for folder in untuned], [] if external is None else [shards.open_data(external)]


def check(untuned: Sequence[ImageSet], external: Sequence[ImageSet], real: Sequence[ImageSet]) -> None:
    """Refuse a generator that was tuned after all, and an external set that is not real or not external.

    Parameters
    ----------
    real
        The training, validation and test images.

    Raises
    ------
    UserError
        Names the ids.
    """
    for images in untuned:
        lineage = (
            {one for sidecar in images.sidecars for one in sidecar.lineage} if isinstance(images, ShardSet) else ()
        )
        if unknown := guard.unrecorded_leak(sorted(lineage)):
            raise UserError(f"{images} is no set of a generator that was not tuned: {unknown[0].what}")
        for part in real:
            if seen := ranges.overlap(part.rows["id"], sorted(lineage)):
                raise UserError(
                    f"{images} is of a generator that was tuned on {len(seen)} of the real images ({some(seen)}); give "
                    "images of one that was not"
                )
    for images in external:
        if (made := images.where(origin="synthetic")).n:
            first = made.rows["id"].iloc[0]
            raise UserError(f"{made.n} external images are synthetic, the first {first}; test on real ones")
        for part, column in product(real, ("id", "cluster")):
            if shared := set(images.rows[column].dropna()) & set(part.rows[column].dropna()):
                raise UserError(
                    f"{len(shared)} {column}s of {images} are in {part} too ({some(sorted(shared))}); an external test "
                    "set shares neither images nor patients"
                )


def near_external(external: TensorSet | None, train: TensorSet | None) -> list[guard.Leak]:
    """External images that are near-duplicates of training images; where only features are known, none is found."""
    if external is None or train is None:
        return []
    pairs = guard.near_duplicates(external, train)
    ids = tuple(f"{a} ~ {b}" for a, b in pairs)
    return [guard.Leak(f"{len(pairs)} external images are near-duplicates of training images", ids)] if pairs else []
