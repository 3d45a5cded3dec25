"""Colours of skin in white light pass at any exposure; grey, bluish and pink casts do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsuite.images.tone.skin_colour import is_skin_colour

#: Means of colorimetric studies: Yun 2010; Han 2006; IADR 2009, abstract 120461 (five); ISSA's palest (Lu 2025).
MEASURED = [
    (64.2, 9.0, 18.3),
    (61.7, 9.6, 17.1),
    (52.5, 17.0, 18.9),
    (37.7, 17.2, 14.7),
    (49.4, 22.0, 12.3),
    (41.5, 25.5, 13.3),
    (26.7, 14.6, 14.7),
    (68.2, 10.2, 10.2),
]


@given(st.sampled_from(MEASURED), st.floats(0.5, 1.25))
def test_measured_skin_passes_at_any_exposure(colour: tuple[float, float, float], gain: float) -> None:
    """The cube root of a gain scales L* + 16, a* and b*."""
    lightness, a, b = colour
    assert is_skin_colour((lightness + 16) * gain - 16, a * gain, b * gain)


@pytest.mark.parametrize(
    "colour",
    [
        (60, 0, 0),  # grey
        (70, 10, -5),  # bluish
        (70, 15, 3),  # pink, as many dermoscopes show it
        (65, 30, 9),  # pink and red
        (60, 40, 40),  # orange
        (60, -30, 30),  # green
        (85, 3, 6),  # white
    ],
)
def test_other_colours_do_not(colour: tuple[float, float, float]) -> None:
    assert not is_skin_colour(*colour)
