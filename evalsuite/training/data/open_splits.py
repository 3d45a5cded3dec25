"""The real images of a run: training, validation and test sets that share neither images nor patients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import shards
from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import some
from shards import ImageSet
from shards.format.nearby import sets_below
from shards.format.schema import SHARD, SPLITS
from shards.storage.location import is_url, open_storage


@dataclass(frozen=True)
class Splits:
    """Real images by their split."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.train.rows["class"])))


def open_splits(location: Path) -> Splits:
    """Real images: a folder with train/, validation/ and test/, or one set whose samples name their split.

    Raises
    ------
    UserError
        A split is missing or holds synthetic images, an id or a cluster is in two splits, or the classes do not fit.
    """
    folder = Path(location)
    if _in_parts(folder):
        parts = {name: shards.open_data(folder / name) for name in SPLITS}
    elif there := {Path(place).name for place in sets_below(folder)} & set(SPLITS):
        missing = " and ".join(name for name in SPLITS if name not in there)
        raise UserError(
            f"{folder} has no {missing} images, only {' and '.join(name for name in SPLITS if name in there)}; make "
            "them with shares of all three, such as `shards make --split 0.7,0.1,0.2`, or name all three in the data"
        )
    else:
        whole = shards.open_data(folder)
        parts = {name: whole.where(split=name) for name in SPLITS}
    for name, images in parts.items():
        if not images.n:
            raise UserError(
                f"{folder} has no {name} images; expected folders {', '.join(SPLITS)}, or samples whose `split` says so"
            )
        if (made := images.where(origin="synthetic")).n:
            raise UserError(
                f"{made.n} {name} images of {folder} are synthetic, the first {made.rows['id'].iloc[0]}; a model is "
                "chosen and tested on real images only: give the others as synthetic shards"
            )
    _refuse_shared(parts, folder)
    splits = Splits(**parts)
    if len(splits.classes) < 2:
        raise UserError(f"{folder}: a single class, {splits.classes[0]!r}; a classifier needs at least two")
    for name in SPLITS[1:]:
        check_classes(parts[name].rows["class"], splits.classes, f"the {name} part of {folder}")
    return splits


def check_classes(classes: Iterable[str], expected: Sequence[str], source: str) -> None:
    """Refuse images of classes that the training images do not have.

    Raises
    ------
    UserError
        Names them.
    """
    unknown = sorted(set(classes) - set(expected))
    if unknown:
        raise UserError(
            f"{source} has the unknown classes {', '.join(unknown)}; "
            f"the real training images have {', '.join(expected)}"
        )


def _in_parts(folder: Path) -> bool:
    if is_url(folder):
        return not any(map(SHARD.match, open_storage(folder).names(missing_ok=True)))
    return all((folder / part).is_dir() for part in SPLITS)


def _refuse_shared(parts: dict[str, ImageSet], folder: Path) -> None:
    for a, b in combinations(parts, 2):
        for column in ("id", "cluster"):
            shared = set(parts[a].rows[column].dropna()) & set(parts[b].rows[column].dropna())
            if shared:
                raise UserError(
                    f"{len(shared)} {column}s are in {a} and in {b} of {folder} ({some(shared, 20)}); "
                    "the parts must be disjoint: drop them from one"
                )
