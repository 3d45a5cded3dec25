"""The report of what was measured on the images: fidelity, diversity, utility, privacy, fairness."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.page.blocks import Answer, Block, Report, Section
from evalsuite.page.image_check import AXES, Axis, ImageCheck

STATUS = {"good": "good", "warn": "to look at", "bad": "not good", "unknown": "cannot be determined"}
#: What to run where an axis has nothing to show.
HOW = {
    "fidelity": "evalsuite quality, tone or reader-study",
    "diversity": "evalsuite quality",
    "utility": "evalsuite quality; evalsuite run and study for the whole answer",
    "privacy": "evalsuite privacy",
    "fairness": "evalsuite tone, quality or filter",
}


def report(parts: Sequence[ImageCheck]) -> Report:
    """One report of what `quality`, `tone`, `privacy`, `filter` and `reader-study` measured."""
    return Report(
        "Are the synthetic images any good?",
        answer(parts),
        [Section(axis.capitalize(), _blocks(axis, parts)) for axis in AXES],
    )


def answer(parts: Sequence[ImageCheck]) -> Answer:
    """A line for each check, and a sentence that names those which are not good."""
    wrong = [f"{p.title} ({STATUS[p.status]})" for p in parts if p.status != "good"]
    sentence = f"{len(parts) - len(wrong)} of {len(parts)} checks are good"
    sentence += f"; the others: {', '.join(wrong)}." if wrong else "."
    return Answer(sentence, [(p.title, STATUS[p.status], "") for p in parts])


def _blocks(axis: Axis, parts: Sequence[ImageCheck]) -> list[Block]:
    """The parts' tables and figures on one axis; the verdict of each part stands where the part is shown first."""
    blocks: list[Block] = []
    for part in parts:
        if shown := part.shown.get(axis):
            first = min(part.shown, key=AXES.index)
            words = part.verdict if axis == first else f"see {first.capitalize()}, and here:"
            blocks += [f"{part.title}: {words}", *shown]
    return blocks or [f"Not measured; run {HOW[axis]}."]
