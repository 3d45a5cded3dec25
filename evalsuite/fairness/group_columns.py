"""Group columns of a user's table: missing values, and one group that is written in two ways."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.alike import alike
from dermforge.common.errors import DataWarning
from dermforge.common.missing import UNKNOWN, is_missing, is_missing_code
from evalsuite.fairness.own_columns import text
from shards.ingest.tables import skin_types
from shards.ingest.tables.columns import ALIASES, folded

_SKIN_TYPES = frozenset(map(folded, ALIASES["group"]))
_NUMBERS = frozenset(("1", "2", "3", "4", "5", "6", "i", "ii", "iii", "iv", "v", "vi"))


def group_words(column: pd.Series, source: str) -> NDArray[np.str_]:
    """Groups as text, [n]: every missing one is `UNKNOWN`, of skin types -1 too; I and 1 in one column are one group.

    Words stay as they are where each is a group of its own. Where skin types are written in two ways, all take the one
    notation of `shards.ingest.tables.skin_types`, and a `DataWarning` says what became of them.
    """
    name = str(column.name)
    missing = is_missing_code if folded(name) in _SKIN_TYPES else is_missing
    words = [UNKNOWN if missing(word) else word for word in (text(v) for v in column.tolist())]
    counts = Counter(word for word in words if word != UNKNOWN)
    one = one_notation(counts, name)
    if one:
        said = skin_types.changes(counts, one)
        warnings.warn(f"{source}: {name} is written in two ways, and now in one: {said}", DataWarning, stacklevel=2)
        words = [one.get(word, word) for word in words]
    elif pair := alike(counts):
        first, second = pair
        warnings.warn(
            f"{source}: {first!r} and {second!r} in {name} are taken for two groups; if they are one, write them alike",
            DataWarning,
            stacklevel=2,
        )
    return np.array(words, dtype=str)


def one_notation(words: Iterable[str], column: str) -> dict[str, str]:
    """Each skin type in the one notation where two of the words are the same one; else nothing.

    A column of another name counts where all of its words are numbers from 1 to 6, Arabic or Roman.
    """
    names = skin_types.mapping(words, column=column)
    twice = len(set(names.values())) < len(names)
    meant = folded(column) in _SKIN_TYPES or {word.casefold() for word in names} <= _NUMBERS
    return names if twice and meant else {}


def as_written(words: NDArray[np.str_], there: Iterable[str], column: str) -> NDArray[np.str_]:
    """Words as another table writes them: VI where that one says VI and this one 6.

    Parameters
    ----------
    there
        The words of that table.
    """
    known, here = set(there), set(words.tolist())
    theirs = {}
    for word in here - known - {UNKNOWN}:
        same = [other for other in known - here if one_notation((word, other), column)]
        if len(same) == 1:
            theirs[word] = same[0]
    return np.array([theirs.get(word, word) for word in words.tolist()], dtype=str)
