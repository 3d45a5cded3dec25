"""Half samples give the standard error of a mean, keep families whole, and repeat no row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsuite.stats.half_samples import half_samples, sampled


def test_the_variance_of_a_mean_is_that_of_its_families() -> None:
    """Of 60 single values s^2 / n; of 20 families of three equal values that of the 20, three times as much."""
    values = np.random.default_rng(0).normal(size=60)
    alone = sampled(lambda rows: [values[rows].mean()], np.arange(60), draws=4000)
    assert alone.covariance[0, 0] == pytest.approx(values.var(ddof=1) / 60, rel=0.08)
    assert alone.degrees == 59
    family = np.arange(60) // 3
    together = np.repeat(values[:20], 3)
    found = sampled(lambda rows: [together[rows].mean()], family, draws=4000)
    assert found.covariance[0, 0] == pytest.approx(values[:20].var(ddof=1) / 20, rel=0.1)
    assert found.degrees == 19


def test_what_is_drawn_together_varies_together() -> None:
    """The difference of a set with itself, shifted, has no error; with other families it has that of both."""
    values = np.random.default_rng(1).normal(size=80)
    names = np.array([f"i{k}" for k in range(80)])

    def both(a: np.ndarray, b: np.ndarray) -> list[float]:
        return [values[a].mean(), values[b].mean() + 1]

    def variance(other: np.ndarray) -> float:
        c = sampled(both, names, other, draws=2000).covariance
        return float(c[0, 0] + c[1, 1] - 2 * c[0, 1])

    assert variance(names) == pytest.approx(0, abs=1e-12)
    assert variance(np.char.add(names, "x")) == pytest.approx(2 * values.var(ddof=1) / 80, rel=0.1)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.integers(0, 5))
def test_a_half_sample_holds_whole_families_once(families: list[int], seed: int) -> None:
    of = np.array(families)
    for (rows,) in half_samples([of], 5, seed):
        assert len(set(rows.tolist())) == len(rows)
        for family in set(of[rows].tolist()):
            assert set(np.flatnonzero(of == family)) <= set(rows.tolist())
        m = len(set(families))
        assert m // 2 <= len(set(of[rows].tolist())) <= (m + 1) // 2


def test_each_set_is_halved_by_itself() -> None:
    """Else an interval would hold the luck of how many images a side has, which is fixed."""
    own, other = np.array([f"r{i}" for i in range(20)]), np.array([f"s{i}" for i in range(8)])
    shared = np.array([f"p{i}" for i in range(6)])
    for rows, others in half_samples([np.append(own, shared), np.append(other, shared)], 20, 0):
        assert (len(rows), len(others)) == (13, 7)
        assert (rows[rows >= 20] - 20).tolist() == (others[others >= 8] - 8).tolist()


def test_of_an_odd_number_either_half_is_taken() -> None:
    assert {len(rows) for (rows,) in half_samples([np.arange(3)], 20, 0)} == {1, 2}


def test_a_statistic_that_most_halves_do_not_have_gives_no_error() -> None:
    found = sampled(lambda rows: [np.nan if {0, 1} & set(rows.tolist()) else rows.mean()], np.arange(10))
    assert np.isnan(found.covariance).all()


def test_too_little_gives_no_error() -> None:
    one = sampled(lambda rows: [1.0], np.zeros(5))
    assert one.values.tolist() == [1.0]
    assert np.isnan(one.covariance).all()
    undefined = sampled(lambda rows: [np.nan if len(rows) < 10 else 1.0], np.arange(10))
    assert np.isnan(undefined.covariance).all()
