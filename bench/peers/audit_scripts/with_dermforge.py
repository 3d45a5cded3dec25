"""Ours: the fairness card, asked about melanoma."""

from __future__ import annotations

from typing import Any

import pandas as pd

import dermforge

PACKAGE = "dermforge"


def audit(table: pd.DataFrame) -> dict[str, Any]:
    card = dermforge.fairness_card(table, groups="fst", positive="melanoma")
    rows = {row.group: row for row in card.of("fst")}
    key = card.primary
    gap = card.primary_gap("fst")
    words = "not enough data" if gap is None else "beyond chance" if gap.beyond_chance else gap.undetermined()
    return {
        "accuracy": {group: row["accuracy"].value for group, row in rows.items()},
        "sensitivity": {group: row[key].value for group, row in rows.items()},
        "intervals": {group: [row[key].low, row[key].high] for group, row in rows.items()},
        "gap": gap.difference if gap else None,
        "gap_interval": [gap.low, gap.high] if gap else None,
        "words": f"p {gap.p:.3g}, {words}" if gap else words,
        "alarm": bool(gap and gap.beyond_chance),
    }
