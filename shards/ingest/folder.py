"""Reads a plain folder of images as if it were shards; labels come from a table or from the folders."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import CheckFailed, DataWarning, UserError
from shards.format.find_mark import mark_of
from shards.format.images import decode_image, encode_image, image_format, image_size
from shards.format.nearby import sets_below
from shards.format.reader import ImageSet, ShardSet
from shards.format.schema import IMAGE_EXTENSIONS, SHARD, SPLITS, Sample
from shards.ingest.files.found import FoundImage, Inventory
from shards.ingest.files.kinds import IMAGE_SUFFIXES, Kind, classify
from shards.ingest.files.naming import unique_ids
from shards.ingest.files.walk import File, walk
from shards.ingest.importing import Labels, find
from shards.storage.location import is_url


class FolderSet(ImageSet):
    """Images in files. `rows` has their `path`; columns of the table without another use become attributes.

    Attributes
    ----------
    left_out
        Place and reason of each file that is no image of the set.
    labelled
        Whether a table or sub-folders name the classes; without them the class "image" stands for all.
    """

    def __init__(
        self,
        path: Path,
        rows: pd.DataFrame,
        classes: Sequence[str],
        left_out: Sequence[tuple[str, str]] = (),
        labelled: bool = True,
    ) -> None:
        super().__init__(rows, classes)
        self.path, self.left_out, self.labelled = path, list(left_out), labelled

    @classmethod
    def open(cls, path: Path, table: Path | None = None) -> FolderSet:
        """Find the images of a folder and their labels.

        Labels come from a table with a column of file names, else from sub-folders named after classes. Without such a
        column or sub-folders every image has the class "image". A warning counts the files that are no images.

        Raises
        ------
        UserError
            There are no images, or the table lacks a needed column or names files that do not exist.
        """
        if not path.is_dir():
            raise UserError(f"{path} is not a folder; expected shards, or a folder of images")
        if (below := sets_below(path)) and not any(classify(file.place)[0] is Kind.IMAGE for file in walk(path)):
            raise UserError(f"{path} holds no images itself, but {', '.join(below)} hold shards; give one")
        inventory = find(path, Labels(table, least_found=0, needs_classes=False))
        found = list(inventory)
        _refuse_gaps(path, found)
        kept = [one for one in found if not one.problem]
        inventory.passed_over += [(one.listed_as, one.problem) for one in found if one.data is not None and one.problem]
        if not kept:
            raise UserError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)})")
        _warn_of_the_rest(path, inventory)
        rows = _rows(kept)
        classes, labelled = sorted(set(rows["class"])), any(one.facts.get("class") for one in kept)
        return cls(path, rows.sort_values("id", ignore_index=True), classes, inventory.passed_over, labelled)

    def at(self, position: int, verify: bool = True) -> tuple[Sample, bytes]:
        row = self.rows.iloc[position]
        try:
            data = stored(row["file"].read())
            width, height = image_size(data)
        except (OSError, UserError) as error:
            raise CheckFailed(f"{row['path']}: {error}; expected a JPEG, PNG or WebP image") from error
        sample = Sample(
            id=row["id"],
            origin=row["origin"],
            label=row["class"],
            group=row["group"],
            attributes=row["attributes"],
            cluster=row["cluster"],
            split=row["split"],
            image_sha256=digest_bytes(data),
            width=width,
            height=height,
            scores=row["scores"],
        )
        return sample, data

    def file_at(self, position: int) -> bytes:
        return bytes(self.rows["file"].iloc[position].read())

    def source(self, position: int) -> str:
        return str(self.rows["path"].iloc[position])

    def __str__(self) -> str:
        return str(self.path)


def stored(data: bytes) -> bytes:
    """The encoded image in a format that shards hold: as it is, or as PNG of the same pixels with the same mark."""
    if image_format(data) in IMAGE_EXTENSIONS:
        return data
    return encode_image(decode_image(data), mark=mark_of(data))


def open_data(location: str | Path, table: Path | None = None) -> ImageSet:
    """Open shards, a bucket of shards, or a plain folder of images, whichever `location` is.

    Raises
    ------
    UserError, CheckFailed
        As `ShardSet.open` and `FolderSet.open`.
    """
    if is_url(location):
        return ShardSet.open(location)
    path = Path(location)
    if path.is_dir() and any(SHARD.match(entry.name) for entry in path.iterdir()):
        return ShardSet.open(path)
    return FolderSet.open(path, table)


def _refuse_gaps(path: Path, found: Sequence[FoundImage]) -> None:
    """What `shards make` drops and lists is an error where nothing is written that could list it."""
    if lost := [one for one in found if one.data is None]:
        raise UserError(
            f"the table of {path} names {len(lost)} files that are not in it (the first is {lost[0].name}: "
            f"{lost[0].problem}); remove these rows, or run `shards make`, which drops and lists them"
        )
    if packed := next((one for one in found if not isinstance(one.data, File) or one.data.size >= 0), None):
        raise UserError(
            f"{path} holds images in an archive or a table ({packed.place}); turn them into shards with `shards make`"
        )
    good = [one for one in found if not one.problem]
    if (unlabelled := sum(not one.facts.get("class") for one in good)) and unlabelled < len(good):
        raise UserError(f"{path} has {unlabelled} images without a class; fill them in or remove the rows")
    if strangers := {one.facts.get("split") for one in good} - {*SPLITS, None}:
        raise UserError(f"the table of {path} has the split {min(map(str, strangers))!r}; expected {', '.join(SPLITS)}")


def _warn_of_the_rest(path: Path, inventory: Inventory) -> None:
    rest = Counter(why for _, why in inventory.passed_over if not why.startswith("read: "))
    if rest:
        kinds = "; ".join(f"{n} {why}" for why, n in rest.most_common(5))
        warnings.warn(f"{path}: {rest.total()} files are no images of the set: {kinds}", DataWarning, 3)


def _rows(found: Sequence[FoundImage]) -> pd.DataFrame:
    n = len(found)
    files = [one.data for one in found if isinstance(one.data, File)]
    columns: dict[str, list[Any]] = {
        "id": unique_ids([one.name for one in found], [one.listed_as for one in found]),
        "class": [one.facts.get("class") or "image" for one in found],
        "origin": [one.facts.get("origin") or "real" for one in found],
        "attributes": [one.facts.get("attributes", {}) for one in found],
        "path": [str(file.path) for file in files],
        "file": list(files),
        "scores": [{} for _ in range(n)],
        "image_sha256": [""] * n,
    }
    columns |= {name: [one.facts.get(name) for one in found] for name in ("group", "cluster", "split")}
    columns |= {name: [None] * n for name in ("strategy", "parent")}
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
