"""Small cells lean on the others."""

from __future__ import annotations

import numpy as np
import pytest

from evalsuite.stats import shrinkage


def test_shrinkage_leans_on_the_others() -> None:
    """A cell of two rows goes to the mean of all, a cell of a thousand stays; agreement means more shrinkage."""
    totals = np.array([2.0, 1000, 200, 200, 0])
    fit = shrinkage.beta_binomial(np.array([0.0, 820, 160, 164, 0]), totals)
    assert 0.6 < fit.value[0] < 0.83
    assert fit.value[1] == pytest.approx(0.82, abs=0.01)
    assert (fit.low < fit.value).all()
    assert (fit.value < fit.high).all()
    apart = shrinkage.beta_binomial(np.array([0.0, 300, 190, 40, 0]), totals)
    assert apart.strength < fit.strength
