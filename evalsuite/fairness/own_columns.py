"""The columns of a table of predictions that are called otherwise: those of somebody's own classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from dermforge.common.errors import UserError

PREFIX = "prob_"


@dataclass(frozen=True)
class OwnColumns:
    """What the columns are called in the table.

    Attributes
    ----------
    probabilities
        Of each class: `CLASS=COLUMN`, or a column with the name of the class, with or without `prob_`. A single one is
        the probability of one of two classes. None: every column that begins with `prob_`.
    """

    id: str = "id"
    label: str = "label"
    probabilities: Sequence[str] = ()

    def rename(self, frame: pd.DataFrame, source: str) -> pd.DataFrame:
        """The table with the columns id, label and prob_<class>; other columns of these names go.

        Raises
        ------
        UserError
            A column is missing, or is named for two roles.
        """
        own = dict(self._split(word) for word in self.probabilities)
        if len(own) < len(self.probabilities):
            raise UserError(
                f"{source}: two columns for one class ({', '.join(self.probabilities)}); give each class one"
            )
        names = {self.id: "id", self.label: "label"} | {column: PREFIX + name for name, column in own.items()}
        missing = [column for column in names if column not in frame.columns]
        if missing:
            raise UserError(f"{source}: missing column {', '.join(missing)}; it has {', '.join(frame.columns)}")
        if len(names) < 2 + len(own):
            raise UserError(f"{source}: one column cannot be two of id, label and probabilities; name each once")
        replaced = [
            name
            for name in frame.columns
            if name not in names and (name in names.values() or (own and name.startswith(PREFIX)))
        ]
        renamed = frame.drop(columns=replaced).rename(columns=names)
        return self._with_the_other_class(renamed, next(iter(own)), source) if len(own) == 1 else renamed

    @staticmethod
    def _split(word: str) -> tuple[str, str]:
        name, _, column = word.partition("=")
        return (name.strip(), column.strip()) if column else (word.strip().removeprefix(PREFIX), word.strip())

    @staticmethod
    def _with_the_other_class(frame: pd.DataFrame, known: str, source: str) -> pd.DataFrame:
        """Of two classes, the probability of one says that of the other."""
        labels = sorted({text(value) for value in frame["label"].dropna()})
        if len(labels) != 2 or known not in labels:
            raise UserError(
                f"{source}: a single column of probabilities, of {known!r}, and labels {', '.join(labels[:5])}; "
                "expected two labels, one of them with this name: give CLASS=COLUMN"
            )
        other = next(name for name in labels if name != known)
        return frame.assign(**{PREFIX + other: 1 - pd.to_numeric(frame[PREFIX + known], errors="coerce")})


def text(value: object) -> str:
    """A name as text; 3.0 reads 3."""
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:.0f}" if whole else str(value).strip()


def some(items: Iterable[object], most: int = 5) -> str:
    """A few names for a message: 'a, b, c and 12 more'."""
    texts = sorted(str(i) for i in items)
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
