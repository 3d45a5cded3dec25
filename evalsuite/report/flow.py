"""Which rows of the table an answer rests on: read, of a known group, in groups with enough data; who is missing."""

from __future__ import annotations

import numpy as np

from dermforge.common.missing import UNKNOWN
from evalsuite.fairness.card import Card, GroupRow
from evalsuite.fairness.metric_key import ACCURACY
from evalsuite.fairness.predictions import Predictions
from evalsuite.page.blocks import Block, Table, estimate_cell, records


def flow_blocks(card: Card, test: Predictions) -> list[Block]:
    """The flow of rows for the primary metric, and rows whose group is missing beside the others."""
    missing = [column for column in card.columns if any(row.group == UNKNOWN for row in card.of(column))]
    return [_read(card, test), _flow(card), *(_missing(card, column) for column in missing)]


def _read(card: Card, test: Predictions) -> str:
    """What was read, and what is independent in it; the reader refuses a table with a row that it cannot use."""
    said = (
        f"{test.n} rows were read from {card.source}, and none was left out: each has an id, a label of a known class "
    )
    said += "and probabilities that sum to 1 (a table with another row is refused). "
    if test.clusters is None:
        return said + "Each counts as independent: no patient or duplicate family was named."
    alone = 0 if test.alone is None else int(test.alone.sum())
    named = len(np.unique(test.clusters)) - alone
    rest = f"; {alone} rows have none and count by themselves" if alone else ""
    return said + f"They belong to {named} patients or duplicate families{rest}."


def _flow(card: Card) -> Table:
    """For each column: rows read = missing + in groups without enough data + compared, of all and of the metric."""
    rows = []
    for column in card.columns:
        own = card.of(column)
        known = [row for row in own if row.group != UNKNOWN]
        few = [row for row in known if not row[card.primary].enough]
        rows.append(
            {
                "column": column,
                "rows": str(sum(row.n for row in own)),
                "group missing": str(sum(row.n for row in own if row.group == UNKNOWN)),
                "in groups without enough data": _named(few),
                "compared": str(sum(row.n for row in known) - sum(row.n for row in few)),
                f"of these for {card.label(card.primary)}": str(
                    sum(row[card.primary].n for row in known if row[card.primary].enough)
                ),
            }
        )
    return records(rows, f"Rows on which the gap in {card.label(card.primary)} rests")


def _named(rows: list[GroupRow]) -> str:
    return f"{sum(row.n for row in rows)} ({', '.join(row.group for row in rows)})" if rows else "0"


def _missing(card: Card, column: str) -> Table:
    """Rows whose group is missing: are they like the others?"""
    whole, unknown = card.row(), card.row(column, UNKNOWN)
    metrics = list(dict.fromkeys((card.primary, ACCURACY)))
    return records(
        [
            {
                "": name,
                "rows": str(row.n),
                **{f"share of {c}": f"{row.positives[c] / max(row.n, 1):.1%}" for c in card.classes[:8]},
                **{card.label(m): estimate_cell(row[m]) for m in metrics},
            }
            for name, row in ((f"{column} missing", unknown), ("all", whole))
        ],
        f"Rows whose {column} is missing are compared with no group. Where they differ from all rows, the gap may be "
        "of the rows that happen to be labelled",
    )
