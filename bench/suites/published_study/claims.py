"""The published claims beside what a repetition found: agrees, does not, or cannot be determined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evalsuite.stats.estimate import points
from evalsuite.study.arm_scores import ALL
from evalsuite.study.kinds import WHAT

Answer = Literal["agrees", "does not agree", "cannot be determined"]

#: What Sagers et al. 2023 (arXiv 2308.12453) say; numbers are changes of accuracy in points with 95 % intervals.
PUBLISHED = {
    "few": "help where real images are few; with 228 per class: inpaint +2.0 (-1.2 to 5.3), inpaint-outpaint -0.4 "
    "(-3.0 to 2.0), text-to-image -2.2 (-5.5 to 1.1)",
    "saturation": "gains saturate above 10 synthetic images to 1 real one",
    "real": "gains are substantially smaller than those of real images",
    "strategies": "the strategies differ",
    "skin types": "not computed for each skin type",
}
CLAIMS = {
    "few": "Synthetic images help where real ones are few",
    "saturation": "Gains saturate above ten to one",
    "real": "Real images help more than synthetic ones",
    "strategies": "Strategies differ",
    "skin types": "It holds for every skin type",
}


@dataclass(frozen=True)
class Row:
    """One claim in one setting. base, strategy and size say where; ours is in words with its interval."""

    base: str
    claim: str
    strategy: str
    size: int
    published: str
    ours: str
    answer: Answer


#: A claim's name, strategy and size, the finding in words, and the answer.
Found = tuple[str, tuple[str, int], str, Answer]


def claims(base: str, record: Mapping[str, Any]) -> list[Row]:
    """The claims as a record of `evalsuite study` answers them.

    Gains are judged at the study's reference dose, after Holm's correction over the gains that were named in advance;
    so are differences of strategies. Saturation is judged by what all doses above the reference bring together.

    Parameters
    ----------
    base
        What the generators were tuned from.
    record
        What `evalsuite.study.study_findings.write_record` gives.
    """
    found = [*_few(record), *_saturation(record), *_real(record), *_strategies(record), *_skin_types(record)]
    return [
        Row(base, CLAIMS[name], where[0], where[1], PUBLISHED[name], ours, answer)
        for name, where, ours, answer in found
    ]


def _few(record: Mapping[str, Any]) -> Iterator[Found]:
    for gain in _at_reference(record, record["gains"]):
        if gain["group"] == ALL:
            yield "few", _place(gain), _gain(gain), _answer({gain["verdict"]})


def _saturation(record: Mapping[str, Any]) -> Iterator[Found]:
    above = {_place(found): found for found in record["further"] if found["group"] == ALL}
    for gain in _at_reference(record, record["gains"]):
        if gain["group"] != ALL:
            continue
        further = above.get(_place(gain))
        answer: Answer = "cannot be determined"
        if further and (gain["low"] or 0) > 0:  # where no gain was seen, nothing saturates
            if further["high"] < record["design"]["margin"]:
                answer = "agrees"
            elif further["low"] > 0:
                answer = "does not agree"
        yield "saturation", _place(gain), further["text"] if further else "no dose above it was measured", answer


def _real(record: Mapping[str, Any]) -> Iterator[Found]:
    """By what a synthetic image is worth; where too few sizes tell it, by the largest dose beside all real images."""
    if not any(found["group"] == ALL for found in record["exchange"]):
        yield from _beside_all_real(record)
    for found in record["exchange"]:
        if found["group"] != ALL:
            continue
        low, high = found["rate_low"], found["rate_high"]
        answer: Answer = "cannot be determined"
        if high is not None and high < 1:
            answer = "agrees"
        elif low is not None and low > 1:
            answer = "does not agree"
        yield "real", _place(found), found["text"], answer


def _beside_all_real(record: Mapping[str, Any]) -> Iterator[Found]:
    mine = [c for c in record["contrasts"] if c["group"] == ALL and c["second"] == WHAT["all-real"]]
    for place in dict.fromkeys(map(_place, mine)):
        found = max((c for c in mine if _place(c) == place), key=lambda c: float(c["ratio"]))
        less = {"hurts": "helps", "helps": "hurts"}.get(found["verdict"], found["verdict"])
        words = f"{found['ratio']:g}:1 less all real images: {_gain(found)}"
        yield "real", place, words, _answer({less})


def _strategies(record: Mapping[str, Any]) -> Iterator[Found]:
    for found in _at_reference(record, record["contrasts"]):
        if found["group"] == ALL and found["family"] == "strategies":
            differ = {"helps": "helps", "hurts": "helps"}.get(found["verdict"], found["verdict"])
            where = f"{found['first']} less {found['second']}", found["size"]
            yield "strategies", where, _gain(found), _answer({differ})


def _skin_types(record: Mapping[str, Any]) -> Iterator[Found]:
    of: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for gain in _at_reference(record, record["gains"]):
        if gain["group"] != ALL:
            of.setdefault(_place(gain), []).append(gain)
    for place, gains in of.items():
        worst = min(gains, key=lambda gain: math.inf if gain["value"] is None else gain["value"])
        yield "skin types", place, f"least in {worst['group']}: {_gain(worst)}", _answer({g["verdict"] for g in gains})


def _at_reference(record: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (row for row in rows if row["ratio"] == record["reference_ratio"])


def _answer(verdicts: set[str]) -> Answer:
    """All help: agrees; any hurts or makes no difference: does not; else it cannot be determined."""
    if verdicts == {"helps"}:
        return "agrees"
    return "does not agree" if verdicts & {"hurts", "no relevant difference"} else "cannot be determined"


def _place(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["strategy"] or "all", row["size"]


def _gain(row: Mapping[str, Any]) -> str:
    if row["verdict"] == "not enough data":
        return "not enough data"
    gain, between = points(row["value"], row["low"], row["high"])
    return f"{gain} points ({between}): {row['verdict']}"
