"""Planted truths are found at the right size, and nothing is found where nothing is."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from evalsuite import selfcheck


def test_planted_truths_are_found() -> None:
    """All parts at the default seed, with few tables for the false alarms; the stated rate of bad luck is small."""
    found = selfcheck.run(0, tables=4)
    assert not [c for c in found if not c.passed]
    assert 0.03 < sum(c.miss_rate for c in found) < 0.05


def test_a_truth_that_is_not_there_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: a planted gap of 5 points is not reported as 15."""
    real = selfcheck.Group
    monkeypatch.setattr(selfcheck, "Group", lambda name, n, accuracy: real(name, n, max(accuracy, 0.80)))
    assert not selfcheck.known_gap(1)[0].passed


@pytest.mark.slow
def test_misses_over_many_seeds_stay_at_the_stated_rate() -> None:
    """Forty seeds: no more runs with a miss than a sound suite has but once in a thousand."""
    runs = [selfcheck.run(seed, tables=4) for seed in range(40)]
    stated = sum(c.miss_rate for c in runs[0])
    assert sum(not all(c.passed for c in found) for found in runs) <= binom.ppf(0.999, 40, stated)


@pytest.mark.slow
def test_false_alarms_come_at_the_stated_rate() -> None:
    """Two hundred tables without a gap."""
    assert selfcheck.no_gap(0, 200)[0].passed
