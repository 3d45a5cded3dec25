"""Right tones pass; a wrong skin type is named with its direction."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from image_helpers import tone_measures, toned_phantoms

from evalsuite.images.tone import tone_report
from evalsuite.images.tone.measure_ita import LIGHTING_CAVEAT
from evalsuite.images.tone.tone_report import measure_tone, off_tone, tone_section, verdict
from evalsuite.images.tone.tone_table import cell_table


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
    assert (blank.sentence, blank.status) == ("No image shows enough bare skin to measure its tone.", "unknown")


def test_a_skin_type_shifted_from_real_images_is_named_with_its_direction() -> None:
    """By more than chance and by more than five degrees; a shift that may be chance, or is small, is none."""
    rng = np.random.default_rng(0)

    def around(middle: float, n: int = 60) -> list[float]:
        return list(rng.normal(middle, 3, n))

    real = tone_measures({"light": around(46), "tan": around(20), "dark": around(-45)})
    made = tone_measures({"light": around(37), "tan": around(17), "dark": around(-33)})  # by 9, 3 and 12 degrees
    named = off_tone(cell_table(made, real, resamples=200))
    assert [n.split(" degrees")[0].split("(")[0].strip() for n in named] == ["dark", "light"]
    assert "lighter than real images of it" in named[0]
    assert "darker than real images of it" in named[1]
    few = tone_measures({"light": around(46), "dark": [-45, -20, -60, -38, -30]})
    assert off_tone(cell_table(few, real, resamples=200)) == []  # five images that scatter prove no shift


def test_without_real_images_a_skin_type_is_named_where_most_miss_its_range() -> None:
    made = tone_measures({"light": [47.0] * 40, "tan": [31.0] * 30 + [20.0] * 10, "dark": [-40.0] * 40})
    assert off_tone(cell_table(made, resamples=50)) == ["tan (75% miss its range, on average 2 degrees lighter)"]
    few = tone_measures({"light": [47.0] * 40, "tan": [31.0] * 3 + [20.0]})
    assert off_tone(cell_table(few, resamples=50)) == []
    text, status = verdict(cell_table(made, resamples=50))
    assert "Off tone: tan" in text
    assert status == "warn"  # although every image is within one group of the request


def test_the_example_runs() -> None:
    assert doctest.testmod(tone_report).failed == 0
