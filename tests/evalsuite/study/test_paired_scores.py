"""Differences know that both arms saw the same items."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evalsuite.fairness.predictions import from_frame
from evalsuite.study import paired_scores


def test_paired_resamples_know_more_than_two_separate_ones() -> None:
    """The interval of a difference must use that both arms saw the same items."""
    rng = np.random.default_rng(0)
    n = 300
    easy = rng.random(n)
    frame = pd.DataFrame(
        {"id": [f"i{i}" for i in range(n)], "label": ["a", "b"] * (n // 2), "prob_a": 0.5, "prob_b": 0.5, "group": "g"}
    )
    draws = paired_scores.resamples(from_frame(frame), 2, 300)
    everyone = np.ones(n, dtype=bool)
    one = draws.score([easy < 0.6, easy < 0.61], everyone, "accuracy")
    two = draws.score([easy < 0.65, easy < 0.66], everyone, "accuracy")
    low, high = two.minus(one).interval()
    wide = two.interval()
    assert 0 < low < two.value - one.value < high
    assert high - low < 0.6 * (wide[1] - wide[0])
    balanced = draws.score([easy < 0.6, easy < 0.61], everyone, "balanced_accuracy")
    assert balanced.value == pytest.approx(one.value, abs=0.02)
