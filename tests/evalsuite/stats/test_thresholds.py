"""Thresholds keep the specificity that they were fixed at."""

from __future__ import annotations

import numpy as np

from evalsuite.stats import thresholds


def test_thresholds_keep_the_specificity() -> None:
    """At least the wanted share of negatives lies below; ties go to the safe side."""
    scores, positive = np.array([0.1, 0.2, 0.2, 0.2, 0.3, 0.9]), np.array([0, 0, 0, 0, 0, 1], bool)
    assert (scores[~positive] < thresholds.at_specificity(scores, positive, 0.8)).mean() >= 0.8
    assert np.isnan(thresholds.at_specificity(scores, np.ones(6, bool), 0.8))
    assert np.isnan(thresholds.by_class(np.full((6, 2), 0.5), positive.astype(int), 0.9, 10)).all()
