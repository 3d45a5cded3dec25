"""Which real images a model has seen: a list of ids, where a run of numbers may be written as a range.

`phantom-[0000000000-0000000399]-plaque-tan` stands for four hundred ids. Ranges keep the record of a model
that was tuned on many numbered images small enough to travel with every shard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_RANGE = re.compile(r"^(?P<head>.*)\[(?P<low>\d+)-(?P<high>\d+)\](?P<tail>.*)$")


def count(lineage: Sequence[str]) -> int:
    """How many ids a lineage names."""
    return sum(int(m["high"]) - int(m["low"]) + 1 if (m := _RANGE.match(entry)) else 1 for entry in lineage)


def overlap(ids: Iterable[str], lineage: Sequence[str]) -> list[str]:
    """The ids that a lineage covers, in the order given."""
    single = {entry for entry in lineage if not _RANGE.match(entry)}
    ranges = [m for entry in lineage if (m := _RANGE.match(entry))]
    by_ends: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for m in ranges:
        by_ends.setdefault((m["head"], m["tail"]), []).append((len(m["low"]), int(m["low"]), int(m["high"])))
    return [i for i in ids if i in single or _in_ranges(i, by_ends)]


def _in_ranges(one: str, by_ends: dict[tuple[str, str], list[tuple[int, int, int]]]) -> bool:
    for number in re.finditer(r"\d+", one):
        spans = by_ends.get((one[: number.start()], one[number.end() :]), [])
        if any(len(number[0]) == width and low <= int(number[0]) <= high for width, low, high in spans):
            return True
    return False
