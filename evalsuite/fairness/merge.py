"""Groups of a column put together before anything is computed: I-II, III-IV, V-VI. What is missing stays apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.fairness.predictions import Predictions
from shards.ingest.tables import skin_types

#: First and last place of a group on its scale; None where the column is no ordered scale.
Span = tuple[float, float]
Spans = Callable[[str], Span | None]
ALL_OTHERS = "the others"


def parse(words: Iterable[str], columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The ranges of each column from texts such as `I-II,III-IV,V-VI` (of the first column) or `age=0-39,40-99`.

    Raises
    ------
    UserError
        A column is not one of the group columns, or is named twice.
    """
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        named, equals, rest = word.partition("=")
        column, ranges = (named.strip(), rest) if equals else (columns[0], word)
        if column not in columns:
            raise UserError(f"merge names the column {column!r}; the group columns are {', '.join(columns)}")
        if column in found:
            raise UserError(f"merge names the column {column!r} twice; give all its ranges at once")
        found[column] = tuple(one.strip() for one in ranges.split(",") if one.strip())
    return found


def given(ranges: Mapping[str, Sequence[str]] | Sequence[str], columns: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The ranges of each column from a mapping, or from the ranges of the first column.

    Raises
    ------
    UserError
        A column is not one of the group columns.
    """
    if not isinstance(ranges, Mapping):
        return {columns[0]: [ranges] if isinstance(ranges, str) else list(ranges)} if ranges else {}
    unknown = [column for column in ranges if column not in columns]
    if unknown:
        raise UserError(f"merge names the column {unknown[0]!r}; the group columns are {', '.join(columns)}")
    return ranges


def planned(contrast: str, ranges: Sequence[str]) -> str:
    """The groups that are compared with all others: those named, else the last of three or more ranges; "" for none.

    Merging says which scale is meant and which end of it: a comparison of its end with the rest is named before
    looking, and sees a difference more often than all pairs of the ranges do (docs/validation.md).
    """
    if contrast:
        return "" if contrast == "none" else contrast
    return ranges[-1] if len(ranges) > 2 and not any("+" in one for one in ranges) else ""


def merge(
    predictions: Predictions,
    ranges: Mapping[str, Sequence[str]],
    others: Mapping[str, str] | None = None,
    *,
    may_lack: bool = False,
) -> Predictions:
    """The table with the groups of each range under the name of the range.

    Groups that no range names stay as they are, and so does `UNKNOWN`.

    Parameters
    ----------
    ranges
        Of each column: `V-VI` on an ordered scale (skin types in any notation, tone groups, numbers), `arm+leg` where
        there is no order, or a single group.
    others
        Columns that hold the same scale, such as a second rater's: name to the column whose ranges they take.
    may_lack
        Whether a range may hold no group, as in a second table of the same columns.

    Raises
    ------
    UserError
        A range holds no group, is no range of the scale, or two hold the same group.
    """
    out = predictions
    of = {**{column: column for column in ranges}, **(others or {})}
    for column, like in of.items():
        if column in predictions.groups and like in ranges:
            names = names_of(predictions.groups[column], ranges[like], column, predictions.source, may_lack)
            out = out.with_group(column, [names.get(g, g) for g in predictions.groups[column]])
    return out


def names_of(
    groups: Iterable[str], ranges: Sequence[str], column: str, source: str, may_lack: bool = False
) -> dict[str, str]:
    """The range that each group lies in; groups of no range are left out."""
    known = sorted(set(groups) - {UNKNOWN})
    found: dict[str, str] = {}
    for one in ranges:
        inside = members(known, one, column)
        if not inside and not may_lack:
            raise UserError(
                f"{source}: no group of {column!r} is in {one!r}; it has {', '.join(known) or 'no known group'}"
            )
        twice = next((group for group in inside if group in found), None)
        if twice is not None:
            raise UserError(f"{source}: group {twice!r} of {column!r} is both in {found[twice]!r} and in {one!r}")
        found |= dict.fromkeys(inside, one)
    return found


def members(groups: Sequence[str], one: str, column: str) -> list[str]:
    """The groups that a range holds; none where it is no range of these groups."""
    if one in groups:
        return [one]
    if "+" in one:
        wanted = [word.strip() for word in one.split("+")]
        return [g for g in groups if g in wanted] if set(wanted) <= set(groups) else []
    spans = _scale(groups, column)
    whole = spans(one)
    ends = [whole] if whole else []
    for place in (i for i, letter in enumerate(one) if letter in "-\u2013"):
        first, last = spans(one[:place].strip()), spans(one[place + 1 :].strip())
        if first and last and first[0] <= last[1]:
            ends.append((first[0], last[1]))
    if not ends:
        return []
    low, high = ends[0]
    return [g for g in groups if (span := spans(g)) and low <= span[0] and span[1] <= high]


def against_others(
    predictions: Predictions, column: str, one: str, *, may_lack: bool = False
) -> tuple[str, Predictions]:
    """A column that says whether a row is in a range or among all others, and the table with it.

    Parameters
    ----------
    may_lack
        Whether the range may hold no group, or every one, as in a second table of the same columns.

    Raises
    ------
    UserError
        The range holds no group, or every one.
    """
    groups = predictions.groups[column]
    inside = names_of(groups, [one], column, predictions.source, may_lack)
    if not may_lack and set(inside) >= set(groups) - {UNKNOWN}:
        raise UserError(f"{predictions.source}: every group of {column!r} is in {one!r}; there are no others")
    name = f"{column}, {one} against {ALL_OTHERS}"
    return name, predictions.with_group(name, [g if g == UNKNOWN else inside.get(g, ALL_OTHERS) for g in groups])


def _scale(groups: Sequence[str], column: str) -> Spans:
    """Where groups lie on the scale that all of them are of: tone groups, skin types in any notation, or numbers."""
    if all(g.casefold() in TONE_GROUPS for g in groups):
        return _tone
    monk = any(skin_types.mapping([g], column=column)[g].startswith("monk") for g in groups)
    for spans in (_skin_type("monk" if monk else "fitzpatrick"), _number):
        if all(spans(g) for g in groups):
            return spans
    return lambda word: None


def _tone(word: str) -> Span | None:
    place = TONE_GROUPS.index(word.casefold()) if word.casefold() in TONE_GROUPS else None
    return None if place is None else (float(place), float(place))


def _number(word: str) -> Span | None:
    try:
        return float(word), float(word)
    except ValueError:
        return None


def _skin_type(scale: str) -> Spans:
    def spans(word: str) -> Span | None:
        one = skin_types.mapping([word], scale)[word].removeprefix("monk-")
        ends = one.split("-")
        if not word or not all(end.isdecimal() for end in ends) or len(ends) > 2 or float(ends[-1]) > 10:
            return None
        return float(ends[0]), float(ends[-1])

    return spans
