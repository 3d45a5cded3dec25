"""Write a report's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dermforge.common.atomic import write_whole
from evalsuite.page.page import Picture, Report, render
from shards.format.schema import created_by

PAGE, SHEET = "report.html", "sheet.png"


def write(reports: Sequence[Report], folder: Path) -> Path:
    """The page, and the first contact sheet beside it; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    write_whole(page, render(reports, created_by()).encode())
    pictures = [b for r in reports for s in r.sections for b in s.blocks if isinstance(b, Picture)]
    if pictures:
        write_whole(folder / SHEET, pictures[0].png)
    return page
