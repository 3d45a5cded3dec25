"""The lineage of a model: ids of the real images it was trained on, where consecutive numbers may form a range.

`phantom-[0000000000-0000000399]-plaque-tan` stands for four hundred ids. With ranges, the lineage of a model that was
trained on many numbered images is small enough to be stored in every sidecar.

`unrecorded: NAME` stands for images that nobody recorded, such as those of an adapter that was trained elsewhere. No id
has a colon. Any image may be among them: whoever asks whether a lineage holds an image must ask for these entries too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_RANGE = re.compile(r"^(?P<head>.*)\[(?P<low>\d+)-(?P<high>\d+)\](?P<tail>.*)$")
_UNRECORDED = "unrecorded: "


def unrecorded(name: str) -> str:
    """The entry for the training images of something that does not say what they were."""
    return _UNRECORDED + name


def without_record(lineage: Iterable[str]) -> list[str]:
    """The names of what a lineage has no images of."""
    return [entry.removeprefix(_UNRECORDED) for entry in lineage if entry.startswith(_UNRECORDED)]


def count(lineage: Iterable[str]) -> int:
    """The number of ids in a lineage."""
    return sum(int(m["high"]) - int(m["low"]) + 1 if (m := _RANGE.match(entry)) else 1 for entry in known(lineage))


def in_words(lineage: Sequence[str]) -> str:
    """What a lineage holds, for people."""
    n, alone = count(lineage), without_record(lineage)
    words = [f"{n} real images"] if n else []
    words += [f"images that nobody recorded (of {', '.join(alone)})"] if alone else []
    return ", and ".join(words) or "none recorded"


def expand(lineage: Sequence[str]) -> Iterator[str]:
    """Each id of a lineage, in its order; an id that two entries name comes twice."""
    for entry in known(lineage):
        if m := _RANGE.match(entry):
            for number in range(int(m["low"]), int(m["high"]) + 1):
                yield f"{m['head']}{number:0{len(m['low'])}d}{m['tail']}"
        else:
            yield entry


def overlap(ids: Iterable[str], lineage: Sequence[str]) -> list[str]:
    """Those of the ids that are in a lineage, in the order given."""
    single = {entry for entry in known(lineage) if not _RANGE.match(entry)}
    ranges = [m for entry in known(lineage) if (m := _RANGE.match(entry))]
    by_ends: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for m in ranges:
        by_ends.setdefault((m["head"], m["tail"]), []).append((len(m["low"]), int(m["low"]), int(m["high"])))
    return [i for i in ids if i in single or _in_ranges(i, by_ends)]


def known(lineage: Iterable[str]) -> Iterator[str]:
    """The entries that are ids or ranges of them."""
    return (entry for entry in lineage if not entry.startswith(_UNRECORDED))


def _in_ranges(one: str, by_ends: dict[tuple[str, str], list[tuple[int, int, int]]]) -> bool:
    for number in re.finditer(r"\d+", one):
        spans = by_ends.get((one[: number.start()], one[number.end() :]), [])
        if any(len(number[0]) == width and low <= int(number[0]) <= high for width, low, high in spans):
            return True
    return False
