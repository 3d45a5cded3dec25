"""Three-way verdicts on intervals and margins, and Fieller's interval of a ratio."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evalsuite.stats.equivalence import Margin, Verdict, by_student, confidence_of, judge, ratio_bounds, whole
from evalsuite.stats.intervals import Bounds, undefined

MARGIN = Margin(-0.02, 0.02)
VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "cannot be determined")


def around(value: float, error: float) -> Bounds:
    return by_student(value, error**2, math.inf)


@pytest.mark.parametrize(
    ("value", "error", "margin", "rows", "verdict"),
    [
        (0.0, 0.01, MARGIN, 1, "pass"),  # 1.645 errors are 0.0164
        (0.0, 0.0125, MARGIN, 1, "cannot be determined"),
        (0.05, 0.01, MARGIN, 1, "fail"),
        (-0.05, 0.01, MARGIN, 1, "fail"),
        (-0.5, 0.01, Margin(-0.02, None), 1, "fail"),
        (0.05, 0.01, MARGIN, 50, "cannot be determined"),  # 3.09 errors
        (0.06, 0.01, MARGIN, 50, "fail"),
        (0.5, 0.01, Margin(-0.02, None), 1, "pass"),  # better than the teacher
        (0.5, 0.01, Margin(None, 0.01), 1, "fail"),
        (0.0, 0.0, MARGIN, 100, "pass"),
    ],
)
def test_a_row(value: float, error: float, margin: Margin, rows: int, verdict: Verdict) -> None:
    assert judge(around(value, error), margin, rows) == verdict


def test_what_is_not_known_is_not_judged() -> None:
    assert judge(undefined, MARGIN) == "cannot be determined"
    assert judge(lambda confidence: (-math.inf, math.inf), MARGIN) == "cannot be determined"


@given(st.lists(st.sampled_from(VERDICTS), max_size=6))
def test_the_whole_passes_only_where_every_row_does(rows: list[Verdict]) -> None:
    found = whole(rows)
    assert (found == "pass") == (bool(rows) and all(row == "pass" for row in rows))
    assert (found == "fail") == ("fail" in rows)


def test_the_level_of_both_claims_is_five_percent_at_most() -> None:
    """At the very margin one row passes in 5 %; of 20 rows at their margins one is called a fail in 5 %."""
    rng, rows, times = np.random.default_rng(0), 20, 4000
    z = rng.normal(size=(times, rows))
    single = [judge(around(0.02 + 0.005 * v, 0.005), MARGIN) for v in z[:, 0]]
    assert single.count("pass") / times == pytest.approx(0.05, abs=0.012)
    failed = [any(judge(around(0.02 + 0.005 * v, 0.005), MARGIN, rows) == "fail" for v in line) for line in z[:1000]]
    assert np.mean(failed) == pytest.approx(0.05, abs=0.02)
    assert confidence_of(rows) == pytest.approx(1 - 0.1 / rows)


@pytest.mark.parametrize(("error", "rho"), [(0.1, 0.0), (0.1, 0.8), (0.05, -0.8)])
def test_the_interval_of_a_ratio_covers_it(error: float, rho: float) -> None:
    """Of 0.9, in 90 % of draws, where the bottom has an error of 0.1 and both are correlated."""
    rng, covariance = np.random.default_rng(1), rho * error * 0.1
    drawn = rng.multivariate_normal([0.9, 1.0], [[error**2, covariance], [covariance, 0.01]], size=3000)
    bounds = [ratio_bounds(top, bottom, (error**2, 0.01), covariance, math.inf)(0.9) for top, bottom in drawn]
    assert np.mean([low <= 0.9 <= high for low, high in bounds]) == pytest.approx(0.9, abs=0.015)


@given(*[st.floats(0.05, 5) for _ in range(2)], *[st.floats(0, 0.2) for _ in range(2)], st.floats(-1, 1))
@example(2.7435335533929317, 1.5, 0.0, 1e-8, 0.0)  # a difference of squares was below 0 by rounding
def test_a_ratio_lies_within_its_interval_which_widens_with_confidence(
    top: float, bottom: float, a: float, b: float, rho: float
) -> None:
    bounds = ratio_bounds(top, bottom, (a * a, b * b), rho * a * b, 30)
    found = [bounds(confidence) for confidence in (0.5, 0.9, 0.99)]
    for low, high in found:
        assert low - 1e-9 <= top / bottom <= high + 1e-9
    for inner, outer in itertools.pairwise(found):
        assert outer[0] <= inner[0] + 1e-9
        assert inner[1] <= outer[1] + 1e-9


def test_a_ratio_to_an_exact_value_has_the_error_of_its_top() -> None:
    assert ratio_bounds(0.9, 2.0, (0.04, 0.0), 0.0, math.inf)(0.9) == pytest.approx(
        (0.45 - 0.1645, 0.45 + 0.1645), abs=1e-4
    )


def test_an_error_that_is_not_known_gives_no_interval() -> None:
    assert all(map(math.isnan, by_student(0.0, math.nan, 10)(0.9)))
    assert all(map(math.isnan, ratio_bounds(0.5, 0.5, (math.nan, 0.1), 0.0, 10)(0.9)))


def test_a_ratio_to_nothing_is_unbounded() -> None:
    assert ratio_bounds(0.5, 0.1, (0.01, 0.01), 0.0, 20)(0.9) == (-math.inf, math.inf)
    assert all(map(math.isnan, ratio_bounds(0.5, math.nan, (0.01, 0.01), 0.0, 20)(0.9)))
