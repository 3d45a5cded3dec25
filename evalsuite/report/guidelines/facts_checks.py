"""Facts of the synthetic images' checks: fidelity, diversity, tone, copies, readers, the certificate of use."""

from __future__ import annotations

from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.fact import Fact, listed
from evalsuite.report.guidelines.quality_record import QUALITY, QualityCell

#: Metrics of variety, by the first word of their names.
VARIETY = ("recall", "coverage", "Vendi")


def quality(found: Artefacts) -> Fact | None:
    """Fidelity and diversity of the synthetic images."""
    return _check(found, "quality")


def diversity(found: Artefacts) -> Fact | None:
    """How much of the real variety is covered: recall, coverage and Vendi score of all images."""
    cells = [c for c in found.quality if c.family == "overall" and c.metric.startswith(VARIETY) and c.value is not None]
    return _cells(found, "Variety of all images", cells)


def quality_by_group(found: Artefacts) -> Fact | None:
    """Variety in each skin type."""
    cells = [c for c in found.quality if c.family == "group" and c.metric.startswith(VARIETY[:2])]
    return _cells(found, "By skin type", [c for c in cells if c.value is not None])


def tone(found: Artefacts) -> Fact | None:
    """Whether the skin tone is what was asked for."""
    return _check(found, "tone")


def privacy(found: Artefacts) -> Fact | None:
    """Whether synthetic images are copies of training images."""
    return _check(found, "privacy")


def image_filter(found: Artefacts) -> Fact | None:
    """What a filter dropped."""
    return _check(found, "filter")


def readers(found: Artefacts) -> Fact | None:
    """What people said of the images."""
    return _check(found, "reader study")


def use(found: Artefacts) -> Fact | None:
    """The certificate of use."""
    if found.use is None:
        return None
    return Fact(f"Against its teacher's images: {found.use.sentence()}.", f"{found.checks['use'].folder}/use.json")


def _check(found: Artefacts, name: str) -> Fact | None:
    made = found.checks.get(name)
    if made is None or made.found.status == "unknown":
        return None
    return Fact(f"{made.found.title}: {made.found.verdict.strip()}", f"{made.folder}/section.json")


def _cells(found: Artefacts, what: str, cells: list[QualityCell]) -> Fact | None:
    if not cells or "quality" not in found.checks:
        return None
    said = [f"{'' if c.family == 'overall' else f'{c.cell}, '}{c.metric} {c.text()}" for c in cells]
    return Fact(f"{what}: {listed(said, 24)}.", f"{found.checks['quality'].folder}/{QUALITY}")
