"""Skin types as data sets write them, in one notation: Fitzpatrick 1 to 6 or 1-2, 3-4, 5-6; Monk monk-01 to monk-10."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_PAIRS = {"12": "1-2", "34": "3-4", "56": "5-6"}
_MILK = {str(n): str(6 - n) for n in range(6)}
#: A type, with or without a word before it and a description behind it: III, FST3, type 3, iii light brown.
_NUMBER, _BEFORE = "([1-6]|iii|ii|iv|vi|i|v)", r"(?:fitzpatrick|fst|skin type|phototype|type|class)?[\s_:.-]*"
_TYPE = re.compile(_BEFORE + _NUMBER + r"(?:\.0)?(?:[\s,:(-]+[a-z].*)?")
_RANGE = re.compile(_BEFORE + _NUMBER + r"\s*(?:-|\u2013|to|/|\|)\s*" + _NUMBER)
_MONK = re.compile(r"(?:monk|mst)?[\s_:.-]*(?:skin tone)?[\s_:.-]*(10|0?[1-9])(?:\.0)?")


def mapping(values: Iterable[str], scale: str = "", column: str = "") -> dict[str, str]:
    """Each value in the one notation; a value that is no skin type stays as it is.

    Parameters
    ----------
    scale
        `fitzpatrick`, `fitzpatrick pairs` (12, 34, 56), `milk10k` (0 dark to 5 light) or `monk` (1 to 10); "" tells it
        from the name of the column and from all values together.
    column
        Its name, which may say Monk.
    """
    distinct = sorted(set(values))
    scale = scale or _scale(distinct, column)
    return {value: _one(value, scale) for value in distinct}


def changes(counts: Mapping[str, int], names: Mapping[str, str]) -> str:
    """What became of the values, for the user: `12 is 1-2 (208), 34 is 3-4 (241)`; "" where nothing changed."""
    return ", ".join(f"{old} is {new} ({counts[old]})" for old, new in names.items() if old != new)


def _scale(values: list[str], column: str) -> str:
    word = re.sub(r"[\W_]+", "", column).casefold()
    if "monk" in word or word.startswith("mst") or any(v.casefold().startswith(("monk", "mst")) for v in values):
        return "monk"
    if values and set(values) <= set(_PAIRS):
        return "fitzpatrick pairs"
    numbers = [int(v) for v in values if v.isdecimal()]
    return (
        "monk" if len(numbers) == len(values) and numbers and 6 < max(numbers) <= 10 and min(numbers) else "fitzpatrick"
    )


def _one(value: str, scale: str) -> str:
    word = value.strip().casefold()
    if scale == "milk10k":
        return _MILK.get(word.removesuffix(".0"), value)
    if scale == "fitzpatrick pairs" and word in _PAIRS:
        return _PAIRS[word]
    if scale == "monk":
        found = _MONK.fullmatch(word)
        return f"monk-{int(found[1]):02d}" if found else value
    if found := _RANGE.fullmatch(word):
        low, high = sorted(map(_number, found.groups()))
        return f"{low}-{high}" if low < high else str(low)
    found = _TYPE.fullmatch(word)
    return str(_number(found[1])) if found else value


def _number(word: str) -> int:
    return _ROMAN[word] if word in _ROMAN else int(word)
