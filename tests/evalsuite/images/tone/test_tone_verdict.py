"""Tone is judged by what real images of the set reach; an interval that holds good and bad says neither."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from image_helpers import tone_measures

from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.tone.tone_table import cell_table
from evalsuite.images.tone.tone_verdict import off_tone, verdict

MIDDLE = dict(zip(TONE_GROUPS, (62.0, 48.0, 34.0, 19.0, -10.0, -46.0), strict=True))


def _measures(n: int, spread: float, seed: int = 0, groups: tuple[str, ...] = TONE_GROUPS) -> pd.DataFrame:
    """`n` images of each skin type whose angles scatter by `spread` degrees around the middle of its range."""
    rng = np.random.default_rng(seed)
    return tone_measures({g: list(rng.normal(MIDDLE[g], spread, n)) for g in groups})


def _verdict(made: pd.DataFrame, real: pd.DataFrame | None = None) -> tuple[str, str]:
    cells = cell_table(made, real, resamples=200)
    return verdict(cells, None if real is None else cell_table(real, resamples=200))


def test_scattered_tones_are_good_where_real_ones_scatter_as_much() -> None:
    """Photographs follow the types that people gave in part only; a bar of 0.6 would call such images bad."""
    made, real = _measures(150, 60, seed=1), _measures(150, 60, seed=2)
    assert cell_table(made, resamples=200).iloc[0]["spearman"].value < 0.6
    text, status = _verdict(made, real)
    assert status == "good", text
    text, status = _verdict(_measures(150, 400, seed=3), real)
    assert status == "bad"
    assert "worse than in real images" in text


def test_few_real_images_set_no_bar() -> None:
    """Six real images with an interval of the order from below 0 to 1 cannot say what is reached."""
    two = ("brown", "dark")
    text, status = _verdict(_measures(60, 20, seed=1, groups=two), _measures(3, 20, seed=5, groups=two))
    assert status == "unknown", text
    assert "cannot be determined" in text


@pytest.mark.parametrize("seed", range(4))
def test_ten_typed_photographs_say_neither_good_nor_bad(seed: int) -> None:
    text, status = _verdict(_measures(3, 25, seed=seed, groups=("light", "intermediate", "tan")))
    assert status == "unknown", text
    assert "cannot be determined" in text


def test_without_real_images_only_an_order_that_none_could_exceed_is_good() -> None:
    assert _verdict(_measures(40, 3))[1] == "good"
    text, status = _verdict(_measures(40, 20, groups=("brown", "dark")))
    assert status == "unknown", text


def test_a_reversed_order_is_bad() -> None:
    groups = list(MIDDLE)
    angles = {g: [MIDDLE[other]] * 8 for g, other in zip(groups, reversed(groups), strict=True)}
    text, status = verdict(cell_table(tone_measures(angles), resamples=100))
    assert "reversed" in text
    assert status == "bad"


def test_the_share_measured_and_the_reasons_are_said() -> None:
    measures = tone_measures({"light": [47.0] * 10})
    measures.loc[:5, "ita"] = np.nan
    measures.loc[:5, "not_measured"] = ["no colour"] * 4 + ["no skin"] * 2
    row = cell_table(measures, resamples=20).iloc[0]
    assert row["why"] == "4 no colour, 2 no skin"
    assert row["measured"].value == pytest.approx(0.4)
    assert row["lesion_seen"].n == 10  # a lesion is seen in any light
    text = verdict(cell_table(measures, resamples=20))[0]
    assert "It was measured in 4 of 10 images (40%); not in: 4 no colour, 2 no skin." in text


def test_a_skin_type_shifted_from_real_images_is_named_with_its_direction() -> None:
    """By more than chance and by more than five degrees; a shift that may be chance, or is small, is none."""
    rng = np.random.default_rng(0)

    def around(middle: float, n: int = 60) -> list[float]:
        return list(rng.normal(middle, 3, n))

    real = tone_measures({"light": around(46), "tan": around(20), "dark": around(-45)})
    made = tone_measures({"light": around(37), "tan": around(17), "dark": around(-33)})  # by 9, 3 and 12 degrees
    named = off_tone(cell_table(made, real, resamples=200))
    assert [n.split(" (")[0] for n in named] == ["light", "dark"]
    assert "darker than real images of it" in named[0]
    assert "lighter than real images of it" in named[1]
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
