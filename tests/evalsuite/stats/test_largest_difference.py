"""The largest difference: Newcombe's interval for two groups, one inversion for interval and p, few false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.stats import intervals
from evalsuite.stats.largest_difference import Side, largest_difference, mover


def side(hits: int, n: int) -> Side:
    return Side(hits / n, lambda confidence: intervals.wilson(hits, n, confidence, quantile=intervals.few_rows(n)))


@pytest.mark.parametrize(
    ("hits", "sizes", "expected"),
    [
        ((56, 48), (70, 80), (0.0524, 0.3339)),
        ((9, 3), (10, 10), (0.1705, 0.8090)),
        ((6, 2), (7, 7), (0.0582, 0.8062)),
        ((10, 0), (10, 10), (0.6075, 1.0)),
        ((12, 70), (12, 100), (0.0443, 0.3958)),
    ],
)
def test_two_shares_have_newcombes_interval(
    hits: tuple[int, int], sizes: tuple[int, int], expected: tuple[float, float]
) -> None:
    """The published ones (Newcombe 1998, Statistics in Medicine 17:873, Table II, method 10), and 12 of 12 as a p."""
    first, second = (side(h, n) for h, n in zip(hits, sizes, strict=True))
    assert mover(first, second, 0.95) == pytest.approx(expected, abs=6e-5)
    found = largest_difference([[first, second]])
    assert (found.low, found.high) == pytest.approx(expected, abs=4e-3)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=2, max_size=7))
def test_interval_and_p_come_from_one_inversion(groups: list[tuple[int, int]]) -> None:
    """The interval excludes 0 exactly where p is below 0.05, and holds the difference that was seen."""
    sides = [side(min(hits, n), n) for hits, n in groups]
    found = largest_difference([sides])
    seen = max(s.value for s in sides) - min(s.value for s in sides)
    assert found.low <= seen <= found.high + 1e-12
    if abs(found.p - 0.05) > 1e-3:
        assert (found.low > 0) == (found.p < 0.05)
    assert found.detectable > 0


def test_of_equal_groups_the_least_certain_says_what_would_have_been_seen() -> None:
    """64 of 64 and 18 of 18: two groups of 64 see smaller gaps than a group of 18 does, in any order."""
    sides = [side(64, 64), side(64, 64), side(18, 18)]
    found = largest_difference([sides])
    assert found.detectable == pytest.approx(largest_difference([sides[::-1]]).detectable, rel=0.05)
    assert found.detectable > found.high


def test_a_small_group_does_not_hide_a_large_one() -> None:
    """Five groups of 300, one of them 11 points worse: twelve rows more do not take the finding away."""
    large = [side(255, 300)] * 4 + [side(222, 300)]
    without, with_small = largest_difference([large]), largest_difference([[side(10, 12), *large]])
    assert without.p < 0.01
    assert with_small.p < 0.02


@pytest.mark.parametrize("sizes", [(500, 12), (60, 150, 180, 120, 60, 30), (30,) * 6, (12,) * 6 + (100,) * 6])
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
def test_equal_groups_raise_few_alarms(sizes: tuple[int, ...], rate: float) -> None:
    """At most 6 % of tables of equal groups show an interval above 0 (600 tables, error 1 point)."""
    rng = np.random.default_rng(len(sizes))
    alarms = [
        largest_difference([[side(int(hits), n) for hits, n in zip(rng.binomial(sizes, rate), sizes, strict=True)]]).p
        <= 0.05
        for _ in range(600)
    ]
    assert np.mean(alarms) <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / 600)


def test_hundreds_of_groups_are_compared_in_a_moment() -> None:
    """500 groups have 124,750 pairs; their correlation is not simulated."""
    rng = np.random.default_rng(0)
    found = largest_difference([[side(int(h), 50) for h in rng.binomial(50, 0.8, 500)]])
    assert found.p > 0.05
    assert found.low == 0
