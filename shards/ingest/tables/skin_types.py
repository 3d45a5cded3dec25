"""Skin types as data sets write them, in one notation: Fitzpatrick 1 to 6 or 1-2, 3-4, 5-6; Monk monk-01 to monk-10."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_PAIRS = {"12": "1-2", "34": "3-4", "56": "5-6"}
_MILK = {str(n): str(6 - n) for n in range(6)}
#: Columns that hold skin types by their folded name.
_COLUMN = re.compile("fi[tz]+s?patrick|fst|skin(type|tone|colou?r)|^skin$|phototype|monk|^mst|tone$")
_NUMBER, _BEFORE = "([1-6]|iii|ii|iv|vi|i|v)", r"(fitzpatrick|fst|skin type|phototype|type|class)?[\s_:.-]*"
#: A type with a word before it and a description of skin behind it, or without: III, FST3, type 3, iii light brown.
_TYPE = re.compile(_BEFORE + _NUMBER + r"(?:\.0)?(?:[\s,:(-]+([a-z].*))?")
_RANGE = re.compile(_BEFORE + _NUMBER + r"\s*(?:-|\u2013|to|/|\|)\s*" + _NUMBER)
_MONK = re.compile(r"(?:monk|mst)?[\s_:.-]*(?:skin tone)?[\s_:.-]*(10|0?[1-9])(?:\.0)?")
#: Words that describe skin and its burning, in the legends of questionnaires.
_DESCRIBES = re.compile(
    "very|pale|white|fair|light|medium|moderate|moderately|olive|brown|dark|darkly|deep|deeply|black|tan|tanned|beige|"
    "ivory|cream|creamy|skin|to|and|or|the|pigmented|always|usually|often|sometimes|rarely|never|easily|minimally|"
    "minimal|burns?|tans|gradually|gradual|uniformly|well|profusely|mild|mildly|painful|not|does"
)
#: Words before a number that name the scale.
_NAMES_THE_SCALE = ("fitzpatrick", "fst", "skin type", "phototype")


def is_skin_type(column: str) -> bool:
    """Whether the name of a column says that it holds skin types; "" stands for a column of which this is known."""
    return not column or bool(_COLUMN.search(re.sub(r"[\W_]+", "", column).casefold()))


def mapping(values: Iterable[str], scale: str = "", column: str = "") -> dict[str, str]:
    """Each value in the one notation; a value that is no skin type stays as it is.

    A column of another name (`group`, `diabetes`) is left alone, except for values that name the scale (FST 3), and
    where every value is wholly a type: all are numbers from 1 to 6, or 12, 34 and 56.

    Parameters
    ----------
    scale
        `fitzpatrick`, `fitzpatrick pairs` (12, 34, 56), `milk10k` (0 dark to 5 light) or `monk` (1 to 10); "" tells it
        from the name of the column and from all values together.
    column
        Its name, which may say Monk.
    """
    distinct = sorted(set(values))
    known = bool(scale) or is_skin_type(column)
    scale = scale or _scale(distinct, column, known)
    all_types = known or all(_wholly(value) for value in distinct)
    return {
        value: _one(value, scale) if all_types or scale != "fitzpatrick" or _names_the_scale(value) else value
        for value in distinct
    }


class Notation:
    """The one notation of the skin types of several files, told from all of them together.

    Parameters
    ----------
    counts
        How often each pair of a column's name and a value occurs.
    scale
        As for `mapping`.
    """

    def __init__(self, counts: Mapping[tuple[str, str], int], scale: str = "") -> None:
        self._counts: dict[str, Counter[str]] = {}
        for (column, value), n in counts.items():
            self._counts.setdefault(column, Counter())[value] += n
        self._names = {column: mapping(found, scale, column) for column, found in self._counts.items()}

    def of(self, column: str | None, value: str | None) -> str | None:
        """A value of a column in the one notation."""
        return value if column is None or value is None else self._names.get(column, {}).get(value, value)

    def notes(self, where: str) -> list[str]:
        """What became of the values, a sentence for each column where something did."""
        said = {column: changes(found, self._names[column]) for column, found in sorted(self._counts.items())}
        return [f"skin types of {where}, column {column}: {what}" for column, what in said.items() if what]


def changes(counts: Mapping[str, int], names: Mapping[str, str]) -> str:
    """What became of the values, for the user: `12 is 1-2 (208), 34 is 3-4 (241)`; "" where nothing changed."""
    return ", ".join(f"{old} is {new} ({counts[old]})" for old, new in names.items() if old != new)


def _scale(values: list[str], column: str, known: bool) -> str:
    word = re.sub(r"[\W_]+", "", column).casefold()
    if "monk" in word or word.startswith("mst") or any(map(_says_monk, values)):
        return "monk"
    if set(values) == set(_PAIRS) or (known and values and set(values) <= set(_PAIRS)):
        return "fitzpatrick pairs"
    numbers = [int(v) for v in values if v.isdecimal()]
    to_ten = len(numbers) == len(values) and numbers and 6 < max(numbers) <= 10 and min(numbers)
    return "monk" if known and to_ten else "fitzpatrick"


def _wholly(value: str) -> bool:
    """Whether a value is a type or a range of types and nothing else; "type 2" may be one of diabetes."""
    word = value.strip().casefold()
    found = _RANGE.fullmatch(word) or _TYPE.fullmatch(word)
    return found is not None and found[1] in (None, *_NAMES_THE_SCALE) and (found.re is _RANGE or not found[3])


def _says_monk(value: str) -> bool:
    word = value.strip().casefold()
    return word.startswith(("monk", "mst")) and _MONK.fullmatch(word) is not None


def _names_the_scale(value: str) -> bool:
    return value.strip().casefold().startswith(_NAMES_THE_SCALE)


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
        low, high = sorted((_number(found[2]), _number(found[3])))
        return f"{low}-{high}" if low < high else str(low)
    found = _TYPE.fullmatch(word)
    described = found is not None and all(map(_DESCRIBES.fullmatch, re.findall(r"[\w'\u2019]+", found[3] or "")))
    return str(_number(found[2])) if found and described else value


def _number(word: str) -> int:
    return _ROMAN[word] if word in _ROMAN else int(word)
