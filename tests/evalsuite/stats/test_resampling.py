"""Resampling: no class is lost, clusters stay whole, variances are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.stats import resampling


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 80), st.booleans())
def test_bootstrap_keeps_strata_and_clusters(seed: int, n: int, clustered: bool) -> None:
    """Each stratum keeps its total weight, and rows of a patient move together."""
    rng = np.random.default_rng(seed)
    strata = rng.integers(0, 4, n)
    clusters = rng.integers(0, n, n) if clustered else None
    units = resampling.units(strata, clusters)
    weights = resampling.bootstrap_weights(rng, units, 20)
    assert weights.shape == (n, 20)
    assert (weights >= 0).all()
    if clusters is None:
        for stratum in np.unique(strata):
            assert weights[strata == stratum].sum(axis=0) == pytest.approx((strata == stratum).sum())
    else:
        for cluster in np.unique(clusters):
            assert (weights[clusters == cluster] == weights[clusters == cluster][0]).all()


def test_small_strata_show_their_whole_variance() -> None:
    """Five rows: the plain bootstrap would show 4/5 of the variance of a mean, this one all of it."""
    rng, x = np.random.default_rng(0), np.array([1.0, 2, 4, 7, 11])
    weights = resampling.bootstrap_weights(rng, resampling.units(np.zeros(5, int), None), 40_000)
    assert (x @ weights / 5).var() == pytest.approx(x.var(ddof=1) / 5, rel=0.03)
