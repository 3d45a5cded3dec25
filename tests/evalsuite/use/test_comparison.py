"""Changes of shares and of sampled statistics, and what may not be judged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from evalsuite.stats.equivalence import Margin, confidence_of
from evalsuite.stats.half_samples import Sampled
from evalsuite.use.comparison import judged, sampled_change, share_change

MARGIN = Margin(-0.02, 0.02)


def shares(n: int, lost: int, *, paired: bool = True, families: int = 0) -> tuple[float, float, str]:
    """The interval and verdict where `lost` of n images that the teacher's hits were are no longer hits."""
    before, after = np.ones(n, dtype=bool), np.arange(n) >= lost
    of = np.arange(n) % families if families else np.arange(n)
    row = judged([share_change("copies", "all", (before, of), (after, of), paired_rows=paired)], lambda _: MARGIN)[0]
    return row.low or 0.0, row.high or 0.0, row.verdict


def test_equal_shares_pass_only_where_there_are_enough_images() -> None:
    assert shares(19, 0)[2] == "cannot be determined"
    assert shares(40, 0)[2] == "cannot be determined"  # Tango: up to 6 of 100 may differ
    assert shares(400, 0)[2] == "pass"
    assert shares(400, 40)[2] == "fail"


def test_images_of_one_source_count_as_one() -> None:
    assert shares(400, 0, families=19)[2] == "cannot be determined"
    low, high, _ = shares(400, 0, families=40)
    alone = shares(400, 0)
    assert high - low > 2 * (alone[1] - alone[0])


def test_the_side_with_fewer_sources_counts() -> None:
    hits, many, few = np.ones(400, dtype=bool), np.arange(400), np.arange(400) % 19
    for sides in (((hits, few), (hits, many)), ((hits, many), (hits, few))):
        assert share_change("recognised", "all", *sides, paired_rows=False).lacking.startswith("19 images")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60), st.booleans())
def test_the_interval_holds_the_change_and_widens(hits: list[tuple[bool, bool]], paired: bool) -> None:
    before, after = (np.array(side) for side in zip(*hits, strict=True))
    own = np.arange(len(hits))
    row = share_change("recognised", "all", (before, own), (after, own), paired_rows=paired)
    assert row.value == pytest.approx(after.mean() - before.mean())
    (low, high), (lower, higher) = row.bounds(0.9), row.bounds(0.99)
    assert -1 - 1e-9 <= lower <= low <= row.value + 1e-9
    assert row.value - 1e-9 <= high <= higher <= 1 + 1e-9


def test_pairs_say_more_than_two_sets() -> None:
    hits = np.random.default_rng(0).random(400) < 0.5
    sides = ((hits, np.arange(400)), (hits, np.arange(400)))
    width = {}
    for paired in (True, False):
        low, high = share_change("recognised", "all", *sides, paired_rows=paired).bounds(0.9)
        width[paired] = high - low
    assert width[True] < width[False] / 3


def sampled(teacher: float, student: float, error: float = 0.01, rho: float = 0.0) -> Sampled:
    covariance = error**2 * np.array([[1, rho], [rho, 1]])
    return Sampled(np.array([teacher, student]), covariance, 100.0)


def test_a_ratio_and_a_difference() -> None:
    ratio = sampled_change("recall", "all", 100, sampled(0.8, 0.6), 0, "")
    assert ratio.scale == "ratio"
    assert ratio.value == pytest.approx(0.75)
    difference = sampled_change("tone_order", "all", 100, sampled(0.8, 0.6, rho=1.0), 0, "")
    assert difference.scale == "difference"
    assert difference.bounds(0.9) == pytest.approx((-0.2, -0.2))


def test_the_error_of_each_side_is_its_own() -> None:
    """A teacher that is known without an error leaves that of the student."""
    found = Sampled(np.array([2.0, 0.9]), np.diag([0.0, 0.04]), np.inf)
    assert sampled_change("recall", "all", 100, found, 0, "").bounds(0.9) == pytest.approx((0.2855, 0.6145), abs=1e-3)


def test_values_that_vary_together_have_the_least_error_still() -> None:
    found = sampled_change("tone_order", "all", 60, sampled(0.8, 0.8, rho=1.0), 0, "", 1 / 62**2)
    assert found.bounds(0.9)[1] == pytest.approx(1.66 * np.sqrt(2) / 62, rel=0.01)


def test_an_error_that_is_not_known_gives_no_verdict() -> None:
    unknown = Sampled(np.array([0.8, 0.8]), np.full((2, 2), np.nan), 30.0)
    for measure in ("recall", "tone_order"):
        row = judged([sampled_change(measure, "all", 60, unknown, 0, "", 1 / 62**2)], lambda _: Margin(0, 1))[0]
        assert (row.verdict, row.low, row.high, row.note) == ("cannot be determined", None, None, "not enough data")


def test_a_student_that_covers_nothing_has_an_interval_that_excludes_its_teacher() -> None:
    """Its recall of 0 has no spread in any half sample; the interval must not be missing, nor of no width."""
    none = Sampled(np.array([0.7, 0.0]), np.array([[0.002, 0.0], [0.0, 0.0]]), 60.0)
    row = judged([sampled_change("recall", "all", 60, none, 0, "", 1 / 62**2)] * 50, lambda _: Margin(0.95, None))[0]
    assert row.verdict == "fail"
    assert row.low is not None
    assert row.high is not None
    assert row.low < 0 < row.high


def test_what_lacks_is_said_and_has_no_interval() -> None:
    row = judged([sampled_change("recall", "all", 5, sampled(1.0, 1.0), 0, "5 images")], lambda _: Margin(0.95, None))[
        0
    ]
    assert (row.verdict, row.low, row.note) == ("cannot be determined", None, "5 images")
    undefined = sampled_change("recall", "all", 50, sampled(np.nan, 1.0), 0, "")
    row = judged([undefined], lambda _: Margin(0.95, None))[0]
    assert (row.verdict, row.teacher, row.note) == ("cannot be determined", None, "not enough data")


@pytest.mark.parametrize("n", [140, 270, 300])
@pytest.mark.parametrize("won", [0.0, 0.002, 0.01])
def test_five_percent_at_most_pass_at_the_margin_in_pairs(n: int, won: float) -> None:
    """Of pairs that lose 2 points more than they win; exact, by summing all counts."""
    passed = 0.0
    for losses in range(binom.ppf(1 - 1e-6, n, won + 0.02).astype(int) + 1):
        for wins in range(binom.ppf(1 - 1e-6, n, won).astype(int) + 1):
            before, after = np.arange(n) < losses, (np.arange(n) >= losses) & (np.arange(n) < losses + wins)
            low, high = share_change(
                "recognised", "all", (before, np.arange(n)), (after, np.arange(n)), paired_rows=True
            ).bounds(confidence_of())
            if MARGIN.holds(low, high):
                passed += multinomial.pmf([losses, wins, n - losses - wins], n, [won + 0.02, won, 0.98 - 2 * won])
    assert passed <= 0.05


@pytest.mark.parametrize("n", [140, 270, 300])
@pytest.mark.parametrize("teacher", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("turned", [False, True])
def test_five_percent_at_most_pass_at_the_margin_in_two_sets(n: int, teacher: float, turned: bool) -> None:
    passed, own = 0.0, np.arange(n)
    shares_of = [np.flatnonzero(binom.pmf(own, n, p) > 1e-6) for p in (teacher, teacher + 0.02)]
    for few in shares_of[0]:
        for many in shares_of[1]:
            sides = [(own < few, own), (own < many, np.array([f"s{i}" for i in own]))]
            low, high = share_change("recognised", "all", *sides[:: -1 if turned else 1], paired_rows=False).bounds(
                confidence_of()
            )
            if MARGIN.holds(low, high):
                passed += binom.pmf(few, n, teacher) * binom.pmf(many, n, teacher + 0.02)
    assert passed <= 0.05
