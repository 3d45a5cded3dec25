"""The report of what was measured on the images: fidelity, diversity, utility, privacy, fairness."""

from __future__ import annotations

import html
from collections.abc import Sequence

from evalsuite.page.page import Block, Plot, Report, Section, Table, Verdict
from evalsuite.page.section import AXES
from evalsuite.page.section import Section as Measured

STATUS = {"good": "good", "warn": "to look at", "bad": "not good", "unknown": "cannot be told"}
#: What to run where an axis has nothing to show.
HOW = {
    "fidelity": "evalsuite quality, tone or reader-study",
    "diversity": "evalsuite quality",
    "utility": "evalsuite quality; evalsuite run and study for the whole answer",
    "privacy": "evalsuite privacy",
    "fairness": "evalsuite tone, quality or filter",
}


def report(parts: Sequence[Measured]) -> Report:
    """One report of the sections that `quality`, `tone`, `privacy`, `filter` and `reader-study` left behind."""
    return Report(
        "Are the synthetic images any good?",
        verdict(parts),
        [Section(axis.capitalize(), _blocks(axis, parts)) for axis in AXES],
    )


def verdict(parts: Sequence[Measured]) -> Verdict:
    """A line for each check, and a sentence that names those which are not good."""
    wrong = [f"{html.unescape(p['title'])} ({STATUS[p['status']]})" for p in parts if p["status"] != "good"]
    sentence = f"{len(parts) - len(wrong)} of {len(parts)} checks are good"
    sentence += f"; the others: {', '.join(wrong)}." if wrong else "."
    return Verdict(sentence, [(html.unescape(p["title"]), STATUS[p["status"]], "") for p in parts])


def _blocks(axis: str, parts: Sequence[Measured]) -> list[Block]:
    """The parts' tables and figures on one axis; each part's words stand where it is shown first.

    The templates escape, so text goes in plain.
    """
    blocks: list[Block] = []
    for part in parts:
        shown: list[Block] = [
            Table(
                [html.unescape(c) for c in t["columns"]],
                [[html.unescape(c) for c in row] for row in t["rows"]],
                html.unescape(t["caption"]),
            )
            for t in part["tables"]
            if t["axis"] == axis
        ]
        shown += [Plot(f["svg"], html.unescape(f["caption"])) for f in part["figures"] if f["axis"] == axis]
        if shown:
            title, first = html.unescape(part["title"]), _first_axis(part)
            words = html.unescape(part["verdict"]) if axis == first else f"see {first.capitalize()}, and here:"
            blocks += [f"{title}: {words}", *shown]
    return blocks or [f"Not measured; run {HOW[axis]}."]


def _first_axis(part: Measured) -> str:
    return min((t["axis"] for t in (*part["tables"], *part["figures"])), key=AXES.index)
