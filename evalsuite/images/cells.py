"""Cells of a set of images (all, each class, skin type, strategy) and the share of images with a property in each."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

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
    """Name and rows of each cell of a family, in order; an unknown skin type is called "unknown"."""
    if not keys:
        yield "all", frame
        return
    named = frame[list(keys)].reset_index(drop=True).astype(object)
    if "group" in keys:
        named["group"] = named["group"].where(named["group"].notna(), "unknown")
    for values, rows in sorted(named.groupby(list(keys)).indices.items()):
        yield " x ".join(map(str, values if isinstance(values, tuple) else (values,))), frame.iloc[rows]


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
