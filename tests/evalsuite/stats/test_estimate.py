"""Shares and means with their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from evalsuite.stats.estimate import Estimate, bootstrap_mean, missing, share


def test_a_share_has_wilsons_interval() -> None:
    """Values of statsmodels.proportion_confint(8, 20, method="wilson"), and both ends."""
    found = share(np.arange(20) < 8)
    assert (found.low, found.high) == pytest.approx((0.218806, 0.613423), abs=1e-5)
    assert share(np.zeros(10, bool)).low == 0.0
    assert share(np.ones(10, bool)).high == pytest.approx(1.0)
    assert np.isnan(share(np.zeros(0, bool)).value)


def test_bootstrap_mean_has_the_textbook_width() -> None:
    x = np.random.default_rng(0).normal(size=400)
    estimate = bootstrap_mean(x, resamples=2000)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(1.96 * x.std() / 20, rel=0.08)


def test_a_share_of_families_keeps_to_its_confidence() -> None:
    """Images of one photograph pass together: as single images they would make an interval that holds 61 % for 95."""
    rng, family = np.random.default_rng(0), np.repeat(np.arange(20), 5)
    held = {"single": 0, "families": 0}
    for _ in range(500):
        rate = rng.beta(0.2 * 0.5, 0.8 * 0.5, (20, 1))  # correlation within a family: 1 / (1 + 0.5)
        hits = (rng.random((20, 5)) < rate).ravel()
        for name, found in (("single", share(hits)), ("families", share(hits, family))):
            held[name] += found.low <= 0.2 <= found.high
    assert held["single"] < 400 < 465 < held["families"]
    assert share(hits) == share(hits, np.arange(100))


def test_text_shows_the_interval_or_what_is_missing() -> None:
    """The card says how many rows would do; a number without an interval stands alone."""
    assert Estimate(0.8123, 0.7, 0.9, 40).text() == "0.812 (0.700 to 0.900)"
    assert Estimate(12345.0, np.nan, np.nan, 40).text(3, "g") == "1.23e+04"
    assert Estimate(0.8, 0.7, 0.9, 4, enough=False, n_needed=10).text() == "not enough data (4 of 10)"
    assert Estimate(np.nan, np.nan, np.nan, 97, n_needed=5).text() == "not enough data"  # never "97 of 5"
    assert missing(3, "too few").text() == "not enough data"
