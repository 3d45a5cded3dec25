"""Right tones pass; a wrong skin type is named with its direction."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from image_helpers import toned_phantoms

from evalsuite.images.tone import tone_report
from evalsuite.images.tone.measure_ita import LIGHTING_CAVEAT
from evalsuite.images.tone.tone_report import measure_tone, tone_section
from evalsuite.page.blocks import Plot


def test_right_tones_pass_and_planted_wrong_ones_are_found() -> None:
    """A third of the images drawn dark whatever was asked: the share within one group falls by as much."""
    real = toned_phantoms(4)
    good = measure_tone(images=real)
    assert good.status == "good", good.sentence
    overall = good.cells.iloc[0]
    assert overall["within_one"].value == 1.0
    assert overall["spearman"].value > 0.95
    bad = measure_tone(images=toned_phantoms(4, wrong=1 / 3), reference=real)
    assert bad.cells.iloc[0]["within_one"].value == pytest.approx(1 - 1 / 3 * 4 / 6, abs=0.08)
    assert bad.status != "good"
    lightest = bad.cells[bad.cells["cell"] == "very_light"].iloc[0]
    assert lightest["degrees_off"].value < -20
    assert np.isnan(lightest["spearman"].value)  # one requested tone has no order
    assert tone_section(bad).shown["fairness"][-1].svg.startswith("<svg")  # type: ignore[union-attr]


def test_raw_angles_come_first_and_the_caveat_is_always_there() -> None:
    text = measure_tone(images=toned_phantoms(1)).sentence
    assert text.startswith("The typology angle has a median of")
    assert LIGHTING_CAVEAT in text
    blank = measure_tone(images=np.zeros((3, 64, 64, 3), np.uint8))
    assert blank.status == "unknown"
    assert not any(isinstance(part, Plot) for part in tone_section(blank).shown["fairness"])
    assert blank.sentence == "The tone of no image can be measured (3 too little bare skin)."


def test_the_example_runs() -> None:
    assert doctest.testmod(tone_report).failed == 0
