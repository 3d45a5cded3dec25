"""The typology angles that are drawn lie within their groups."""

from __future__ import annotations

from dermforge.common.skin_tone import DEL_BINO
from gen.phantoms.skin import ITA_RANGE, melanin_for


def tone_group(angle: float) -> str:
    """The group of an angle by the published cut-points."""
    return next(name for name, low in DEL_BINO.items() if angle > low)


def test_groups_lie_inside_the_published_cut_points() -> None:
    for group, (low, high) in ITA_RANGE.items():
        assert tone_group(low) == tone_group(high) == group
    assert melanin_for(60) < melanin_for(20) < melanin_for(-40)
