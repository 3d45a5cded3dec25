"""Noise: a pure function of (seed, row, step), standard normal, and the same for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gen.diffusion import noise


def test_the_stream_is_pinned() -> None:
    """Shards are regenerated from their rows years later: these numbers must never change."""
    assert noise.bits(0, "a", noise.START, 2).tolist() == [7940855084873053004, 14261478520545744601]
    np.testing.assert_array_equal(
        noise.normal(7, "plaque-dark-000001", 0, (2, 2)),
        np.array([0.856611609, -0.0103185633, -0.141315803, 0.154841229], dtype=np.float32).reshape(2, 2),
    )


def test_is_standard_normal_and_uncorrelated_between_rows_and_steps() -> None:
    draws = np.stack([noise.normal(0, str(i), s, (4, 8, 8)).ravel() for i in range(200) for s in (-1, 0)])
    assert stats.kstest(draws.ravel(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(draws)
    assert np.abs(correlation - np.eye(len(draws))).max() < 0.4


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**63), st.text(min_size=1, max_size=20), st.integers(-1, 1000), st.integers(1, 50))
def test_depends_on_all_of_its_arguments_and_on_nothing_else(seed: int, row: str, step: int, n: int) -> None:
    one = noise.normal(seed, row, step, (n,))
    np.testing.assert_array_equal(one, noise.normal(seed, row, step, (n + 3,))[:n])  # a longer draw goes on
    for other in ((seed + 1, row, step), (seed, row + "x", step), (seed, row, step + 1)):
        assert not np.array_equal(one, noise.normal(*other, (n,)))


@pytest.mark.parametrize("drawn", [0, 2**64 - 1])
def test_uniform_is_open(drawn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 or 1 would become an infinite latent: the smallest and the largest draw are neither."""
    monkeypatch.setattr(noise, "bits", lambda seed, row, step, n: np.full(n, drawn, dtype=np.uint64))
    u = noise.uniform(3, "row", 0, 1)
    assert 0 < u[0] < 1
    assert np.isfinite(noise.normal(3, "row", 0, (1,))).all()
