"""Blocks as HTML. Text becomes markup in one place: jinja2's autoescape, for pages, fragments and names of SVGs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from dermforge.common.atomic import write_whole
from evalsuite.page.blocks import Block, Picture, Report
from evalsuite.page.safe_svg import safe_svg
from shards.format.schema import created_by

PAGE, SHEET = "report.html", "sheet.png"

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _kind(block: Block) -> str:
    """What the template tells blocks apart by."""
    return "text" if isinstance(block, str) else type(block).__name__.lower()


def _breakable(text: str) -> Markup:
    """Let lines break before and within an extractor's name: a long one would push the table off a printed page."""
    return Markup(re.sub(r"(?=\[)|(?<=[_@.])", "<wbr>", str(escape(text))))


_ENVIRONMENT.filters |= {"kind": _kind, "breakable": _breakable, "safe_svg": safe_svg}


def page(reports: Sequence[Report]) -> str:
    """One self-contained page of reports: it asks the network for nothing."""
    return _ENVIRONMENT.get_template("page.html").render(reports=reports, made_by=created_by())


def fragment(blocks: Sequence[Block]) -> str:
    """Blocks as HTML to put into another page, such as a notebook."""
    return _ENVIRONMENT.get_template("fragment.html").render(blocks=blocks)


def named_svg(svg: str, title: str, description: str) -> str:
    """An <svg> element with a name and a description for screen readers."""
    before, inside = svg.removeprefix("<svg").split(">", 1)
    template = _ENVIRONMENT.get_template("named.svg")
    return template.render(before=before, inside=inside, title=title, description=description)


def write_page(reports: Sequence[Report], folder: Path) -> Path:
    """Write the page, and the first contact sheet next to it; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / PAGE, page(reports).encode())
    pictures = [b for r in reports for s in r.sections for b in s.blocks if isinstance(b, Picture)]
    if pictures:
        write_whole(folder / SHEET, pictures[0].png)
    return folder / PAGE
