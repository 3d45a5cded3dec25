"""Masks: the paper's geometry, reproducible draws, and no redrawn pixel outside the redrawn latent cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gen.plan import masks


def test_the_papers_masks_at_512() -> None:
    """A 256 px centre square (latent rows 16 to 48 of 64) and a 16 px frame."""
    centre = masks.centre(512)
    assert centre.sum() == 256 * 256
    latent = masks.latent(centre, 8)
    assert np.flatnonzero(latent.any(axis=1)).tolist() == list(range(16, 48))
    assert masks.frame(512)[16, 16:-16].sum() == 0
    assert masks.frame(512)[15].all()
    assert masks.frame(64)[2:-2, 2:-2].sum() == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**62), st.text(min_size=1, max_size=10), st.sampled_from([64, 128, 512]))
def test_random_masks_come_from_the_row_and_leave_something_to_keep(seed: int, row: str, size: int) -> None:
    for word in ("ellipse", "rectangle"):
        mask = masks.for_word(word, size, seed, row)
        np.testing.assert_array_equal(mask, masks.for_word(word, size, seed, row))
        assert 0.02 < mask.mean() < 0.6
        assert not np.array_equal(mask, masks.for_word(word, size, seed + 1, row))


@pytest.mark.parametrize("factor", [4, 8])
def test_a_latent_cell_with_one_redrawn_pixel_is_redrawn(factor: int) -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[9, 17] = True
    latent = masks.latent(mask, factor)
    assert latent.sum() == 1
    assert latent[9 // factor, 17 // factor]
