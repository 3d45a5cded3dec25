"""Phantoms are what every later claim is checked against: their truth must be true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import DEL_BINO, TONE_GROUPS, ita, srgb_to_lab
from gen.phantoms import CLASSES, draw

cells = st.tuples(st.sampled_from(CLASSES), st.sampled_from(TONE_GROUPS), st.integers(0, 2**31))


def tone_group(angle: float) -> str:
    """The group of an angle by the published cut-points."""
    return next(name for name, low in DEL_BINO.items() if angle > low)


@settings(max_examples=60, deadline=None)
@given(cells)
def test_measured_tone_is_the_requested_one(cell: tuple[str, str, int]) -> None:
    """Bare skin measures within 5 degrees of the drawn angle, and inside its group."""
    phantom = draw(*cell)
    measured = float(ita(srgb_to_lab(phantom.image[phantom.skin] / 255.0).mean(0)))
    assert abs(measured - float(phantom.params["ita"])) < 5
    assert tone_group(float(phantom.params["ita"])) == cell[1]


@settings(max_examples=25, deadline=None)
@given(cells)
def test_same_draw_same_pixels_and_a_lesion_to_see(cell: tuple[str, str, int]) -> None:
    one, two = draw(*cell), draw(*cell)
    assert np.array_equal(one.image, two.image)
    assert 0.005 < one.mask.mean() < 0.9
    assert not (one.mask & one.skin).any()


@pytest.mark.parametrize("size", [64, 128, 512])
def test_sizes_show_the_same_scene(size: int) -> None:
    """A larger phantom is the same lesion in the same tone; only the grain of the camera differs."""
    small, large = draw("plaque", "tan", 7, 64), draw("plaque", "tan", 7, size)
    assert large.image.shape == (size, size, 3)
    assert abs(small.mask.mean() - large.mask.mean()) < 0.02


@pytest.mark.parametrize(
    ("cls", "group", "size", "named"),
    [("psoriasis", "tan", 64, "annulus"), ("plaque", "purple", 64, "very_light"), ("plaque", "tan", 7, "32")],
)
def test_bad_requests_name_what_is_possible(cls: str, group: str, size: int, named: str) -> None:
    with pytest.raises(UserError, match=named):
        draw(cls, group, 0, size)
