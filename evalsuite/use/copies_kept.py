"""Copies of training images: does the student make more of them than its teacher?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.id_ranges import expand, without_record
from evalsuite.images.image_data import ImageData, Track, families, untracked
from evalsuite.images.privacy.audit import audit_copies
from evalsuite.images.privacy.planted_copies import ENOUGH
from evalsuite.stats.intervals import Bounds, undefined
from evalsuite.training.data.lineage_guard import PHANTOM
from evalsuite.use.comparison import Comparison, share_change
from evalsuite.use.same_plan import Pair
from shards import ImageSet
from shards.format.schema import Sample

#: Unseen real images that set the threshold, at most; so many allow a share of false alarms of 1 %.
MOST_UNSEEN = 400


@dataclass(frozen=True)
class Copies:
    """The comparison, and what the audit of both sides said in words; empty where it could not be made."""

    row: Comparison
    sentence: str = ""


@dataclass(frozen=True)
class _Both:
    """Sets as one for a single audit; ids begin with the set's name, as both sides have those of one plan."""

    sides: dict[str, ImageData]

    @property
    def rows(self) -> pd.DataFrame:
        parts = [data.rows.assign(id=f"{name}:" + data.rows["id"]) for name, data in self.sides.items()]
        return pd.concat(parts, ignore_index=True)

    def images(self) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        for name, data in self.sides.items():
            for sample, image in data.images():
                yield sample.model_copy(update={"id": f"{name}:{sample.id}"}), image

    def take(self, positions: NDArray[np.intp]) -> _Both:
        found, start = {}, 0
        for name, data in self.sides.items():
            own = positions[(positions >= start) & (positions < start + len(data.rows))] - start
            found[name] = data.take(own)
            start += len(data.rows)
        return _Both(found)


def copies_kept(
    pair: Pair,
    tuned_on: ImageSet,
    unseen: ImageSet,
    lineage: Sequence[str],
    *,
    control: int = 20,
    seed: int = 0,
    folder: Path | None = None,
    track: Track = untracked,
) -> Copies:
    """The share of copies on both sides, by one audit of `evalsuite privacy`.

    Parameters
    ----------
    tuned_on
        Real images that the generators were tuned on.
    unseen
        Real images that they have not seen, which set the threshold; of more than `MOST_UNSEEN` so many, by the seed.
    lineage
        Real ids that the generators' shards name.
    control
        Planted copies of each kind that the audit must find.
    """
    none = Comparison("copies", "all", pair.student.n, np.nan, np.nan, np.nan, undefined)
    known, unsearched = _searched(tuned_on.rows["id"], lineage)
    if unsearched:
        return Copies(replace(none, lacking=unsearched))
    sides: dict[str, ImageData] = {"teacher": pair.teacher, "student": pair.student}
    try:
        audit = audit_copies(
            train=tuned_on,
            synthetic=_Both(sides),
            test=_some(unseen, seed),
            control=control,
            folder=folder,
            track=track,
        )
    except UserError as error:  # too few unseen images, or a test image among the training images
        return Copies(replace(none, lacking=str(error)))
    flagged = audit.images.set_index("id")["copy"]
    hits = [
        (flagged.loc[f"{name}:" + data.rows["id"]].to_numpy(dtype=bool), families(data.rows, tuned_on.rows))
        for name, data in sides.items()
    ]
    row = share_change("copies", "all", hits[0], hits[1], paired_rows=pair.paired)
    note = " ".join([f"{known}.", *audit.doubts]).removesuffix(".")
    return Copies(replace(row, note=note, bounds=_above(row.bounds) if audit.doubts else row.bounds), audit.sentence)


def _above(bounds: Bounds) -> Bounds:
    """Of an audit that may miss copies: what it found is there, and any share may be."""
    return lambda confidence: (bounds(confidence)[0], 1.0)


def _searched(ids: Iterable[str], lineage: Sequence[str]) -> tuple[str, str]:
    """How many of the generators' training images were searched, and whether those are too few, in words.

    A copy of an image that was not searched is missed, so that the audit must search as large a share as it must find
    of the copies that it plants. Phantoms beside photographs are those of a base model, and show no patient.
    """
    named, alone = set(expand(lineage)), sorted(set(without_record(lineage)))
    tuned = {one for one in named if not PHANTOM.match(one)} or named
    if not tuned and not alone:
        return "the shards name no training images", ""
    searched = tuned.intersection(ids)
    known = f"{len(searched)} of the {len(tuned)} training images that the shards name were searched"
    known += f"; nobody recorded those of {', '.join(alone)}" if alone else ""
    few = not searched or len(searched) < ENOUGH * len(tuned)
    return known, f"{known}; give all that the generators were tuned on" if few else ""


def _some(unseen: ImageSet, seed: int) -> ImageSet:
    if unseen.n <= MOST_UNSEEN:
        return unseen
    return unseen.take(np.sort(np.random.default_rng(seed).choice(unseen.n, MOST_UNSEEN, replace=False)))
