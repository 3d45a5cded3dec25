"""The part of a study's page on the external test images, beside the internal ones."""

from __future__ import annotations

from evalsuite.page.blocks import Block, Section, Table
from evalsuite.report.study_lines import differences, not_judged
from evalsuite.stats.estimate import points
from evalsuite.study.analysis import Analysis, External
from evalsuite.study.arm_scores import ALL
from evalsuite.study.gains import Gain


def sections(found: Analysis) -> list[Section]:
    """One where there is an external test set."""
    return [] if found.external is None else [Section("External test images", _blocks(found, found.external))]


def details(found: Analysis) -> list[str]:
    """A sentence for the first screen: the gains at the reference dose on the external images."""
    if found.external is None:
        return []
    if found.external.lacking[ALL]:
        return [f"External test images: not enough data: {found.external.lacking[ALL]}."]
    at = [g for g in found.external.gains if g.group == ALL and g.ratio == found.reference]
    named = [f"{g.size} real images per class{f', {g.strategy}' if g.strategy else ''}: {_gain(g)}" for g in at]
    return [f"On the external test images, {found.reference:g}:1: {'; '.join(named)}."]


def _blocks(found: Analysis, external: External) -> list[Block]:
    inside = {(g.group, g.strategy, g.size, g.ratio): g for g in found.gains if not found.lacking[g.group]}
    rows = []
    for g in external.gains:
        if g.group == ALL or not external.lacking[g.group]:
            internal = inside.get((g.group, g.strategy, g.size, g.ratio))
            where = (g.group, g.strategy or "all", str(g.size), f"{g.ratio:g}:1", str(g.n))
            rows.append((*where, "not judged" if internal is None else _gain(internal), _gain(g)))
    head = ("group", "strategy", "real per class", "dose", "external images", "gain, internal", "gain, external")
    controls = [c for c in external.contrasts if c.family == "controls" and c.ratio == found.reference]
    caption = f"External test images, {found.reference:g}:1: with synthetic images against the same effort without"
    return [
        f"Every arm was tested on the images of {found.design.places.external} too; nothing was chosen by them. Gains "
        f"are in points over real images only; those on external images at {found.reference:g}:1 are a family of their "
        "own (Holm).",
        Table(head, rows, "Internal and external test images"),
        *([differences(external.lacking, controls, caption)] if controls else []),
        *not_judged(external.lacking),
    ]


def _gain(g: Gain) -> str:
    gain, between = points(g.value, g.low, g.high)
    return f"{gain} ({between}), {g.verdict}"
