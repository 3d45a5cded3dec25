"""What a page is made of: sections of text, tables, plots and pictures. Texts are plain; `render` escapes them."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalsuite.stats.estimate import Estimate


@dataclass(frozen=True)
class Cell:
    """A table cell with small lines under it (its interval), or printed bold."""

    text: str
    under: Sequence[str] = ()
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """head: column names; rows: cells."""

    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG shown inline, with its alternative text."""

    png: bytes
    alt: str
    caption: str = ""

    @property
    def source(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Thumbnails:
    """Small JPEGs in rows of `columns`, each (base64, label)."""

    jpegs: Sequence[tuple[str, str]]
    columns: int
    caption: str = ""


@dataclass(frozen=True)
class Plot:
    """An <svg> element made by `evalsuite.page.svg`; a page has what `evalsuite.page.safe_svg` lets through."""

    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


Block = str | Heading | Bullets | Table | Picture | Thumbnails | Plot


@dataclass(frozen=True)
class Section:
    """A titled part of a report."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


@dataclass(frozen=True)
class Answer:
    """The answer in one sentence, the numbers it rests on: (what, value, interval or remark), and a table or two."""

    sentence: str
    numbers: Sequence[tuple[str, str, str]]
    details: Sequence[str] = ()
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Report:
    """What one run, study or card has to say.

    Attributes
    ----------
    leakage
        Leaks that were allowed, shown in red.
    classifier
        Whose predictions the answer rests on, shown next to it; empty where that is not known.
    """

    title: str
    answer: Answer
    sections: Sequence[Section]
    leakage: Sequence[str] = ()
    notes: Sequence[str] = ()
    classifier: str = ""


def records(rows: Sequence[Mapping[str, str | Cell]], caption: str = "") -> Table:
    """A table of rows that name their columns; a row may lack some."""
    head = list(dict.fromkeys(name for row in rows for name in row))
    return Table(head, [[row.get(name, "") for name in head] for row in rows], caption)


def estimate_cell(found: Estimate) -> Cell:
    """The value with its interval under it."""
    value, rest = value_and_rest(found.text())
    return Cell(value, [rest] if rest else [])


def value_and_rest(text: str) -> tuple[str, str]:
    """`0.812 (0.761 to 0.853)` as value and interval."""
    value, _, rest = text.partition(" (")
    return value, rest.rstrip(")")


def number(value: float, digits: int = 3) -> str:
    """A number that may be missing."""
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def p_value(p: float) -> str:
    """A p value that may be missing."""
    return "<0.001" if p < 0.001 else number(p)
