"""What is stored beside an image and in it: its plan row, the run that drew it, and the mark of how it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gen.plan.plan import COLUMNS, PlanRow
from shards.format.mark import Mark
from shards.format.schema import Sample

if TYPE_CHECKING:
    from gen.sampling.run_record import RunRecord


def sample_of(row: PlanRow, run: RunRecord, by_base: bool) -> Sample:
    """What is stored beside the image of a row; the writer adds what it knows of the image.

    Parameters
    ----------
    by_base
        Whether a base takes steps of any row of the run: all its records have the same keys.
    """
    return Sample(
        **row.model_dump(by_alias=True) | {"base_steps": row.base_steps if by_base else None},
        origin="synthetic",
        cluster=row.parent,
        plan_digest=run.plan_digest,
        model_digest=run.model_digest,
        bundle_digest=run.bundle_digest,
    )


def mark_of_row(row: PlanRow, run: RunRecord) -> Mark | None:
    """The mark of an image of a run; None in runs that began before images were marked.

    With a parent it is a photograph that the model changed, else all of it is the model's.
    """
    if run.marks is None:
        return None
    return Mark(
        "compositeWithTrainedAlgorithmicMedia" if row.parent else "trainedAlgorithmicMedia", digest=run.bundle_digest
    )


def row_of(sample: Sample) -> PlanRow:
    """The plan row of an image, by what is stored beside it."""
    stored = sample.model_dump(by_alias=True)
    return PlanRow.model_validate({name: stored[name] for name in COLUMNS if stored[name] is not None})
