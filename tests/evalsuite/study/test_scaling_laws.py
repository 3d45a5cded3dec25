"""The law that made the points is the one that is chosen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evalsuite.study import scaling_laws


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no effect", lambda n, s: 0.1 + 1.2 * n**-0.6),
        ("exchange", lambda n, s: 0.1 + 1.2 * (n + 0.2 * s) ** -0.6),
        ("mikami", lambda n, s: 1.2 * (0.5 + (1 + s) ** -0.4) * n**-0.4),
        ("saturating", lambda n, s: 0.1 + 1.2 * n**-0.6 - 0.12 * (s / n) / (s / n + 3)),
    ],
)
def test_the_law_that_made_the_points_is_chosen(name: str, error) -> None:  # type: ignore[no-untyped-def]
    """Otherwise `the chosen law` in the report means nothing."""
    n, r = (v.ravel() for v in np.meshgrid([8.0, 16, 32, 64], [0.0, 1, 2, 5, 10, 25]))
    score = 1 - error(n, n * r) + np.random.default_rng(3).normal(0, 0.002, n.size)
    best = scaling_laws.compare_laws(n, n * r, score)[0]
    if name == "exchange":  # with g = 1 the five-parameter form is the truth
        assert best.law.name == "exchange"
        assert math.exp(best.parameters[3]) * 1 / (1 + math.exp(-best.parameters[4])) > 0.05
    assert best.law.name == name
    assert best.rmse < 0.01
