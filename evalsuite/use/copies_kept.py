"""Copies of training images: does the student make more of them than its teacher?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.id_ranges import overlap
from evalsuite.images.image_data import Track, families, untracked
from evalsuite.images.privacy.audit import CopyAudit, audit_copies
from evalsuite.stats.intervals import undefined
from evalsuite.use.comparison import Comparison, share_change
from evalsuite.use.same_plan import Pair
from shards import ImageSet


@dataclass(frozen=True)
class Copies:
    """The comparison, and what the audits of teacher and student said in words; empty where they could not be made."""

    row: Comparison
    sentences: tuple[str, ...] = ()


def copies_kept(
    pair: Pair,
    tuned_on: ImageSet,
    unseen: ImageSet,
    lineage: Sequence[str],
    *,
    control: int = 20,
    folder: Path | None = None,
    track: Track = untracked,
) -> Copies:
    """The share of copies on both sides, by the audit of `evalsuite privacy`.

    Parameters
    ----------
    tuned_on
        Real images that the generators were tuned on.
    unseen
        Real images that they have not seen, which set the threshold.
    lineage
        Real ids that the generators' shards name.
    control
        Planted copies of each kind that each audit must find.
    """
    ids = tuned_on.rows["id"].tolist()
    searched = overlap(ids, lineage)
    none = Comparison("copies", "all", pair.student.n, np.nan, np.nan, np.nan, undefined)
    if lineage and not searched:
        why = "none of the training images that were searched is in the generator's lineage; give those it was tuned on"
        return Copies(replace(none, lacking=why))
    try:
        audits = [
            audit_copies(train=tuned_on, synthetic=side, test=unseen, control=control, folder=folder, track=track)
            for side in (pair.teacher, pair.student)
        ]
    except UserError as error:  # too few unseen images, or a test image among the training images
        return Copies(replace(none, lacking=str(error)))
    sides = [
        (_flags(audit, side), families(side.rows, tuned_on.rows))
        for audit, side in zip(audits, (pair.teacher, pair.student), strict=True)
    ]
    row = share_change("copies", "all", *sides, paired_rows=pair.paired)
    doubts = [name for name, audit in zip(("teacher", "student"), audits, strict=True) if audit.status == "unknown"]
    if doubts and not row.lacking:
        row = replace(
            row, lacking=f"the audit of the {doubts[0]}'s images proves no absence of copies (its controls say why)"
        )
    known = f"{len(searched)} of {len(ids)} images searched are in the generator's lineage"
    row = replace(row, note=known if lineage else "the shards name no training images")
    return Copies(
        row, tuple(f"{name}: {audit.sentence}" for name, audit in zip(("Teacher", "Student"), audits, strict=True))
    )


def _flags(audit: CopyAudit, side: ImageSet) -> NDArray[np.bool_]:
    """Which images are copies, in the order of the set."""
    flagged = audit.images.set_index("id")["copy"]
    return np.asarray(flagged.loc[side.rows["id"]].to_numpy(dtype=bool))
