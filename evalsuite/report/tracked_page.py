"""The page that trackers are given: a report without its images, and without what may name photographs or folders."""

from __future__ import annotations

from dataclasses import replace

from dermforge.common.tracking import Tracking
from evalsuite.page.blocks import Picture, Report, Section, Thumbnails
from evalsuite.page.render import PAGE, page

#: Its captions name folders.
DATA_SHEET = "Data sheet"


def track_page(tracking: Tracking, report: Report) -> None:
    """Give the page to the trackers; of allowed leaks it says how many there are, since their sentences name images."""
    kept = [section for section in report.sections if section.title != DATA_SHEET and not _shows_images(section)]
    leaks = [f"{len(report.leakage)} leaks were allowed; report.html names them"] if report.leakage else []
    tracking.artefact(PAGE, page([replace(report, sections=kept, leakage=leaks)]).encode())


def _shows_images(section: Section) -> bool:
    return any(isinstance(block, Picture | Thumbnails) for block in section.blocks)
