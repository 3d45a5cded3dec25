"""Planted truths are found at the right size, and nothing is found where nothing is."""

from __future__ import annotations

import pytest

from evalsuite import selfcheck


def test_planted_truths_are_found() -> None:
    """All parts at the default seed, with few tables for the false alarms."""
    missed = [c for c in selfcheck.run(0, n_boot=200, tables=4) if not c.passed]
    assert not missed


def test_a_truth_that_is_not_there_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: a planted gap of 5 points is not reported as 15."""
    real = selfcheck.Group
    monkeypatch.setattr(selfcheck, "Group", lambda name, n, accuracy: real(name, n, max(accuracy, 0.80)))
    assert not selfcheck.known_gap(1, 100)[0].passed


@pytest.mark.slow
def test_false_alarms_come_at_the_stated_rate() -> None:
    """Two hundred tables without a gap."""
    assert selfcheck.no_gap(0, 200)[0].passed
