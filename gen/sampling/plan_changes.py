"""Which rows of a plan are not those of a run: told by the run's own plan, or by the images that it has made."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import CheckFailed
from gen.plan.plan import COLUMNS, Plan
from gen.sampling.image_record import row_of, sample_of
from shards.format.schema import SHARD, Sample, Sidecar
from shards.format.unpack import OpenTars
from shards.storage.location import Storage

if TYPE_CHECKING:
    from gen.sampling.run_record import RunRecord

#: So many rows are named.
NAMED = 3


def rows_that_differ(plan: Plan, own: Plan | None, run: RunRecord, where: Storage) -> str:
    """Names the first rows of `plan` that are not the run's, such as "rows that differ: a (prompt), b (new)".

    Parameters
    ----------
    own
        The run's plan; None where it was changed itself. Then only rows whose images are there can be told.
    """
    found = list(islice(_unlike_plan(plan, own) if own else _unlike_images(plan, run, where), NAMED + 1))
    if not found:
        return "no image that is there was made from a row that differs"
    return f"rows that differ: {', '.join(found[:NAMED])}{' and more' * (len(found) > NAMED)}"


def _unlike_plan(plan: Plan, own: Plan) -> Iterator[str]:
    now, before = ({row[0]: row for row in each.frame[list(COLUMNS)].itertuples(index=False)} for each in (plan, own))
    for key in sorted({*now, *before}):
        if key not in now or key not in before:
            yield f"{key} ({'missing' if key in before else 'new'})"
        elif fields := [c for c, a, b in zip(COLUMNS, now[key], before[key], strict=True) if a != b]:
            yield f"{key} ({', '.join(fields)})"


def _unlike_images(plan: Plan, run: RunRecord, where: Storage) -> Iterator[str]:
    rows, by_base, tars = {row.id: row for row in plan.rows()}, plan.by_base, OpenTars(where)
    for name in sorted(n for n in where.names() if SHARD.match(n) and n.endswith(".json") and n[:-12] == run.name):
        try:
            sidecar = Sidecar.from_bytes(where.read(name), f"{where}/{name}")
            for made in sidecar.samples:
                row = rows.get(made.id)
                if row is None:
                    yield f"{made.id} (missing)"
                    continue
                drawn = sample_of(row, run, by_base)
                facts = {"width": row.size, "height": row.size, "image_sha256": made.image_sha256}
                if digest_bytes(drawn.model_copy(update=facts).canonical()) == made.record_sha256:
                    continue
                stored = Sample.model_validate_json(tars.read(sidecar, *made.members["json"]))
                now, before = (one.model_dump(by_alias=True) for one in (row, row_of(stored)))
                if fields := [column for column in COLUMNS if now[column] != before[column]]:
                    yield f"{made.id} ({', '.join(fields)})"
        except (CheckFailed, OSError, ValueError):  # a damaged shard tells nothing; the run is refused anyway
            continue
