"""A descriptor turns with its picture, and its placement says where each point of the picture lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_helpers import phantoms

from evalsuite.images.privacy import polar
from evalsuite.images.privacy.descriptors import small_lab, turned


@pytest.mark.parametrize("orientation", range(8))
def test_every_orientation_is_one_of_the_turns(orientation: int) -> None:
    lab = small_lab(phantoms(3, 0)[2])
    moved = np.ascontiguousarray(turned(lab)[orientation])
    turns = polar.turned_descriptors(polar.describe_whole(moved)[None])[0]
    likeness = turns @ polar.describe_whole(lab)
    assert likeness.max() == pytest.approx(1 + polar.COLOUR_WEIGHT**2, abs=1e-3)
    matrix = polar.placement(int(likeness.argmax()), polar.discs((1.0, 1.0))[0])
    y, x = (20, 9)  # a pixel of the moved picture, and where it lies in the original
    at = matrix @ np.array([(x + 0.5) / 32 - 1, (y + 0.5) / 32 - 1, 1])
    column, row = np.rint((at + 1) * 32 - 0.5).astype(int)
    assert np.allclose(lab[row, column], moved[y, x])


@given(st.floats(1, 3), st.floats(0.5, 1.5), st.floats(-20, 20))
@settings(max_examples=20, deadline=None)
def test_light_and_contrast_change_no_descriptor(tall: float, contrast: float, light: float) -> None:
    lab, shape = small_lab(phantoms(1, 5)[0]), polar.shape_of(round(100 * tall), 100)
    changed = lab * np.float32(contrast) + np.array([light, 0, 0], dtype=np.float32)
    assert np.allclose(polar.describe_parts(lab, shape), polar.describe_parts(changed, shape), atol=2e-3)


@given(st.integers(1, 4000), st.integers(1, 4000))
@settings(max_examples=100, deadline=None)
def test_parts_lie_within_the_picture_and_hold_its_middle(height: int, width: int) -> None:
    shape = polar.shape_of(height, width)
    discs = polar.discs(shape)
    assert (np.abs(discs[:, :2]) + discs[:, 2:] <= 1 + 1e-6).all()
    tall, wide = shape
    assert np.isclose(discs, (0, 0, 1 / wide, 1 / tall)).all(1).any()
