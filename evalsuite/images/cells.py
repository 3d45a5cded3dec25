"""Cells of a set of images (all, each class, skin type, strategy) and the share of images with a property in each."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from dermforge.common.missing import UNKNOWN
from dermforge.common.skin_tone import in_order
from evalsuite.images.image_data import families
from evalsuite.stats.estimate import share

#: Kinds of cells, and the columns whose values tell the cells of a kind apart.
CELLS: dict[str, tuple[str, ...]] = {
    "overall": (),
    "class": ("class",),
    "group": ("group",),
    "strategy": ("strategy",),
    "class x group": ("class", "group"),
}


def parts_of(frame: pd.DataFrame, keys: tuple[str, ...]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows of each cell of a family, skin types from light to dark; an unknown one is called "unknown"."""
    if not keys:
        yield "all", frame
        return
    named = frame[list(keys)].reset_index(drop=True).astype(object)
    if "group" in keys:
        named["group"] = named["group"].where(named["group"].notna(), UNKNOWN)
    order = {key: _in_order(set(named[key].dropna().map(str))) for key in keys}
    found = named.groupby(list(keys)).indices
    cells = [(values if isinstance(values, tuple) else (values,), rows) for values, rows in found.items()]
    for values, rows in sorted(
        cells, key=lambda cell: [order[k].index(str(v)) for k, v in zip(keys, cell[0], strict=True)]
    ):
        yield " x ".join(map(str, values)), frame.iloc[rows]


def _in_order(names: set[str]) -> list[str]:
    return in_order(names - {UNKNOWN}) + [UNKNOWN] * (UNKNOWN in names)


def share_table(frame: pd.DataFrame, column: str, count: str) -> pd.DataFrame:
    """Share of the rows in which a bool column is true, one row per cell: family, cell, n, `count`, rate, low, high.

    Intervals are over families of images.
    """
    records = []
    for family, keys in CELLS.items():
        for name, part in parts_of(frame, keys):
            hits = part[column].to_numpy(dtype=bool)
            found = share(hits, families(part))
            head = {"family": family, "cell": name, "n": len(part), count: int(hits.sum())}
            records.append(head | {"rate": found.value, "low": found.low, "high": found.high})
    return pd.DataFrame(records)
