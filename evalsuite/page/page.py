"""One self-contained page from sections. Every text goes through jinja2's escaping; plots are SVG of our own making."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Table:
    """head: column names; rows: cells as text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
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
class Plot:
    """SVG text made by `evalsuite.page.plots`, which escapes what it is given."""

    svg: str
    caption: str = ""

    @property
    def markup(self) -> Markup:
        return Markup(self.svg)


@dataclass(frozen=True)
class Fragment:
    """HTML made by `evalsuite.report.card_html`, which escapes what it is given."""

    html: str

    @property
    def markup(self) -> Markup:
        return Markup(self.html)


Block = str | Table | Picture | Plot | Fragment


def _kind(block: Block) -> str:
    """What the template tells blocks apart by."""
    return "text" if isinstance(block, str) else type(block).__name__.lower()


def _breakable(text: str) -> Markup:
    """Lines may break before and within an extractor's name: else a long one pushes the table off a printed page."""
    return Markup(re.sub(r"(?=\[)|(?<=[_@.])", "<wbr>", str(escape(text))))


_ENVIRONMENT.filters |= {"kind": _kind, "breakable": _breakable}


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


@dataclass(frozen=True)
class Verdict:
    """The answer in one sentence, and the numbers it rests on: (what, value, interval or remark)."""

    sentence: str
    numbers: Sequence[tuple[str, str, str]]
    details: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """One run or study, ready to be shown. leakage: allowed leaks, shown in red."""

    title: str
    verdict: Verdict
    sections: Sequence[Section]
    leakage: Sequence[str] = ()
    notes: Sequence[str] = ()


def render(reports: Sequence[Report], made_by: str) -> str:
    """The page."""
    return _ENVIRONMENT.get_template("page.html").render(reports=reports, made_by=made_by)
