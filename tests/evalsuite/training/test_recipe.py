"""Recipes: checked when they are made, and with a learning rate that rises and falls."""

from __future__ import annotations

import numpy as np
import pytest
from training_helpers import recipe

from dermforge.common.errors import UserError
from evalsuite.training.recipe import make_recipe


def test_the_learning_rate_rises_then_falls_as_a_cosine() -> None:
    """Linear to the full rate over the warm-up, half of it half way down, next to nothing at the end."""
    r = recipe(steps=100, lr=0.4, warmup=0.2)
    rates = [r.learning_rate(step) for step in range(100)]
    assert np.diff(rates[:20]) == pytest.approx(0.02)
    assert max(rates) == rates[19] == rates[20] == 0.4
    assert rates[60] == pytest.approx(0.2)
    assert np.all(np.diff(rates[20:]) < 0)
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"ratio": -1}, "ratio -1"), ({"steps": 0}, "steps 0"), ({"optimizer": "lion"}, "optimizer 'lion'")],
)
def test_options_out_of_range_are_named(fields: dict[str, object], text: str) -> None:
    """One line that names the field."""
    with pytest.raises(UserError, match=text):
        make_recipe(**fields)
