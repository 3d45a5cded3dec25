"""A plan for the images that a filter dropped: each row once more, with new noise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dermforge.common.errors import UserError
from dermforge.common.tables import read_table
from gen.plan.ids import fitting_id
from gen.plan.plan import Plan, from_rows, records
from shards.ingest.folder import open_data


def refill(plan: Plan, kept: Sequence[str]) -> Plan:
    """The rows of a plan that were not kept, each once more under a new id, so with new noise.

    Raises
    ------
    UserError
        A kept id is not in the plan, or all of them were kept.
    """
    keep, known = set(kept), set(plan.frame["id"])
    if strangers := sorted(keep - known):
        raise UserError(
            f"{len(strangers)} kept ids are not in the plan ({', '.join(strangers[:3])}); "
            "give the plan that the images were made from"
        )
    dropped = plan.frame[~plan.frame["id"].isin(keep)]
    if dropped.empty:
        raise UserError("every image of the plan was kept; there is nothing to refill")
    again = dropped.assign(id=[_next_id(name) for name in dropped["id"]])
    return from_rows(records(again), "the refilled plan")


def kept_ids(kept: Path) -> list[str]:
    """The ids that a filter kept: of shards, or of a table (its rows with a true `kept` column, if it has one).

    Raises
    ------
    UserError
        The table has no id column.
    """
    if kept.is_dir():
        return [str(name) for name in open_data(kept).rows["id"]]
    rows = read_table(kept)
    if "id" not in rows.columns:
        raise UserError(f"{kept} has no id column; it has {', '.join(rows.columns)}")
    if "kept" in rows.columns:
        rows = rows[rows["kept"].astype(str).str.lower().isin(["true", "1", "yes"])]
    return [str(name) for name in rows["id"]]


def _next_id(name: str) -> str:
    again = re.fullmatch(r"(.*)-r(\d+)", name)
    return fitting_id(f"{again[1]}-r{int(again[2]) + 1}" if again else f"{name}-r1")
