"""Colours and angles against published values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.skin_tone import in_order, ita, linear_to_srgb, srgb_to_lab, srgb_to_linear


@pytest.mark.parametrize(
    ("srgb", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_lab_of_the_primaries(srgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    """CIELAB under D65, as every table of the sRGB primaries lists it."""
    np.testing.assert_allclose(srgb_to_lab(srgb), lab, atol=0.03)


@given(st.floats(0, 1, width=32))
def test_linear_light_and_back(value: float) -> None:
    assert linear_to_srgb(srgb_to_linear(value)) == pytest.approx(value, abs=1e-5)


def test_the_angle_is_higher_for_lighter_skin() -> None:
    """Chardon's definition: 45 degrees where L* - 50 equals b*."""
    assert ita([70, 10, 20]) == pytest.approx(45)
    assert ita([30, 10, 20]) == pytest.approx(-45)


def test_tone_groups_go_from_light_to_dark_and_others_by_name() -> None:
    assert in_order({"dark", "tan", "light"}) == ["light", "tan", "dark"]
    assert in_order({"VI", "I", "dark"}) == ["I", "VI", "dark"]
