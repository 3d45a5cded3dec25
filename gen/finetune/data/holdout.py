"""Images that must not be trained on, by id, by cluster (patient, near-duplicates) and by content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dermforge.common import id_ranges
from dermforge.common.errors import UserError
from dermforge.common.missing import is_missing
from dermforge.common.tables import SUFFIXES, as_text, read_table
from shards.format.reader import ImageSet
from shards.ingest.folder import open_data
from shards.storage.location import is_url


@dataclass(frozen=True)
class Holdout:
    """What is held out. digests: sha256 of encoded images."""

    ids: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()
    digests: frozenset[str] = frozenset()

    def __or__(self, other: Holdout) -> Holdout:
        return Holdout(self.ids | other.ids, self.clusters | other.clusters, self.digests | other.digests)

    def check(self, rows: pd.DataFrame, digests: Mapping[str, str]) -> None:
        """Refuse training images that are held out.

        Parameters
        ----------
        rows
            The training images.
        digests
            Id -> sha256 of the encoded image.

        Raises
        ------
        UserError
            Names the images, and why each is refused.
        """
        seen = [(i, "") for i in rows["id"] if i in self.ids]
        seen += [
            (i, f" (in cluster {c})")
            for i, c in zip(rows["id"], rows["cluster"], strict=True)
            if c in self.clusters and i not in self.ids
        ]
        seen += [(i, " (the same file)") for i in rows["id"] if digests.get(i) in self.digests and i not in self.ids]
        if seen:
            raise UserError(
                f"{len(seen)} training images are held out: {', '.join(i + why for i, why in seen[:5])}"
                f"{', ...' if len(seen) > 5 else ''}; take them out of the training data, or mark them split=test"
            )

    def check_lineage(self, seen: Sequence[str], whose: str) -> None:
        """Refuse a base model, or synthetic images, that held-out images went into."""
        if self.ids and (unknown := id_ranges.without_record(seen)):
            raise UserError(
                f"{whose} holds {', '.join(unknown)}, whose training images nobody recorded: held-out images may be "
                "among them; use another one"
            )
        if leaked := id_ranges.overlap(sorted(self.ids), seen):
            raise UserError(
                f"{whose} was tuned on {len(leaked)} images that are held out ({', '.join(leaked[:5])}); "
                "use another one, or other held-out images"
            )


def read_holdout(location: str | Path) -> Holdout:
    """Held-out images from a list of ids (.txt), a table with an `id` column, or shards or a folder of images.

    All that is named is held out. One set with everything is the exception: where validation or test images stand
    beside its `train` images, these are free for training.

    Raises
    ------
    UserError
        Nothing there, no `id` column, or no id.
    """
    path = Path(location)
    if is_url(location) or path.is_dir():
        return of_images(_kept_back(open_data(location)))
    if not path.is_file():
        raise UserError(
            f"no held-out list {path}; expected ids (.txt, one a line), a table with a column id, or shards"
        )
    if path.suffix.lower() in SUFFIXES:
        table = as_text(read_table(path))
        if "id" not in table.columns:
            raise UserError(f"{path} has no column 'id' (it has {', '.join(table.columns)})")
        found = Holdout(*(_words(table[c]) if c in table.columns else frozenset() for c in COLUMNS))
    else:
        try:
            found = Holdout(_words(line.strip() for line in path.read_text(encoding="utf-8").splitlines()))
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not text; expected ids, one a line") from error
    if not found.ids:
        raise UserError(f"{path} names no ids; expected one a line, or a column 'id'")
    return found


COLUMNS = ("id", "cluster", "image_sha256")
#: The splits that nothing is trained on.
KEPT_BACK = ("validation", "test")


def of_images(data: ImageSet) -> Holdout:
    """All images of a set; files without a stored digest are read."""
    digests = [known or data.at(i)[0].image_sha256 for i, known in enumerate(data.rows["image_sha256"])]
    return Holdout(_words(data.rows["id"]), _words(data.rows["cluster"]), _words(digests))


def of_splits(data: ImageSet) -> Holdout:
    """The validation and test images of the training set itself, with their patients."""
    rows = data.rows[data.rows["split"].isin(KEPT_BACK)]
    return Holdout(_words(rows["id"]), _words(rows["cluster"]), _words(rows["image_sha256"]))


def _kept_back(data: ImageSet) -> ImageSet:
    """A set that was named as a hold-out, without its training images where it has others to hold out."""
    split = data.rows["split"]
    return data.take(np.flatnonzero(split != "train")) if split.isin(KEPT_BACK).any() else data


def _words(values: Iterable[object]) -> frozenset[str]:
    return frozenset(str(v) for v in values if not is_missing(v))
