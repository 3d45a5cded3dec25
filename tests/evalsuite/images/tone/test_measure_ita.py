"""The measured tone is the phantom's true one; a colour that is none of skin has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.tone.cut_points import CUTS
from evalsuite.images.tone.measure_ita import measure_ita, tone_index
from gen.phantoms import CLASSES, draw


@pytest.mark.parametrize("size", [64, 128])
def test_measured_angle_is_the_phantoms_own(size: int) -> None:
    """Lesions, hair and uneven light are in the picture; the error stays below one and a half degrees."""
    for cls in CLASSES:
        for group in TONE_GROUPS:
            phantom = draw(cls, group, 7, size)
            assert measure_ita(phantom.image).ita == pytest.approx(float(phantom.params["ita"]), abs=1.5)


def test_lesions_are_masked_out_and_seen() -> None:
    found = [measure_ita(draw(cls, group, 3).image) for cls in CLASSES for group in TONE_GROUPS]
    assert np.mean([m.lesion_contrast > 3 for m in found]) > 0.9
    assert all(m.bare_share > 0.5 for m in found)


@given(st.integers(8, 300), st.integers(8, 300), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_any_picture_gives_a_number_or_nan(height: int, width: int, seed: int) -> None:
    measure = measure_ita(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))
    assert bool(measure.not_measured) == np.isnan(measure.ita)
    assert np.isnan(measure.ita) or -90 < measure.ita < 90


@pytest.mark.parametrize("colour", [(90, 110, 160), (150, 120, 170), (128, 128, 132)])
def test_a_bluish_or_grey_picture_has_no_skin_tone(colour: tuple[int, int, int]) -> None:
    """The angle of b* <= 0 runs to -180 and 180, which is no tone of skin."""
    noise = np.random.default_rng(0).integers(-4, 5, (64, 64, 1))
    assert np.isnan(measure_ita((np.array(colour) + noise).astype(np.uint8)).ita)


def test_cut_points_descend_and_give_six_steps() -> None:
    for cuts in CUTS.values():
        assert list(cuts) == sorted(cuts, reverse=True)
        assert [tone_index(a, cuts) for a in (89, -89)] == [0, 5]
    assert tone_index(float("nan"), CUTS["del-bino"]) == -1
