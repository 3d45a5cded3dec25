"""What an arm may draw from: subsets that are nested, and no child of an image that it does not have."""

from __future__ import annotations

import numpy as np
import pytest
from training_helpers import data

from dermforge.common.errors import UserError


def test_subsets_are_nested_and_spread_over_groups() -> None:
    """n = 2 must be part of n = 4, or the two differ in more than their number; no group is left out."""
    made = data()
    small, large = made.real(2, 7), made.real(4, 7)
    assert set(small.rows["id"]) < set(large.rows["id"])
    assert np.bincount(small.labels).tolist() == [2, 2, 2]
    assert (small.rows.groupby("class")["group"].nunique() == 2).all()
    assert set(made.real(2, 8).rows["id"]) != set(small.rows["id"])
    with pytest.raises(UserError, match="`n_real` is 9, but a has 8 training images"):
        made.real(9, 0)


def test_synthetic_images_of_other_parents_are_left_out() -> None:
    """An arm with n real images must not learn from the children of the others."""
    made = data()
    real = made.real(2, 7)
    assert made.synthetic is not None
    made.synthetic.rows["parent"] = [real.rows["id"].iloc[0], "stranger", None] * 20
    assert set(made.synthetic_for(real).rows["parent"].dropna()) == {real.rows["id"].iloc[0]}
    assert made.synthetic_for(real).n == 40
    made.synthetic.rows["parent"] = "stranger"
    with pytest.raises(UserError, match="no synthetic image is left"):
        made.synthetic_for(real)
