"""A mean debiased by real labels holds as often as it says; good stand-ins narrow it, and poor ones cost nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evalsuite.stats.estimate import share
from evalsuite.stats.prediction_powered import powered_share


def draw(
    rng: np.random.Generator, n: int, p: float, agree: float, bias: float
) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Truth, and stand-ins that follow it with this probability and else a share that is off by `bias`."""
    truth = rng.random(n) < p
    same = rng.random(n) < agree
    right = np.where(same, truth, rng.random(n) < p + bias)
    return truth, np.where(right, rng.binomial(4, 0.9, n), rng.binomial(4, 0.2, n)) / 4


@pytest.mark.parametrize(
    ("n", "p", "agree", "bias", "width"),
    [(20, 0.6, 0.95, 0.0, 0.7), (20, 0.8, 0.8, -0.2, 0.9), (40, 0.8, 0.95, 0.0, 0.7), (100, 0.8, 0.5, 0.0, 1.0)],
)
def test_the_interval_holds_and_is_narrower(n: int, p: float, agree: float, bias: float, width: float) -> None:
    """500 tables of n labelled and 10 n other images; three binomial errors allowed. docs/validation.md has more."""
    rng, tables = np.random.default_rng(0), 500
    held, ratios, values = 0, [], []
    for _ in range(tables):
        truth, standin = draw(rng, n, p, agree, bias)
        found = powered_share(truth, standin, draw(rng, 10 * n, p, agree, bias)[1])
        held += found.estimate.low <= p <= found.estimate.high
        values.append(found.estimate.value)
        ratios.append((found.estimate.high - found.estimate.low) / (found.real_only.high - found.real_only.low))
    assert held / tables >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / tables)
    assert np.mean(ratios) < width
    assert np.mean(values) == pytest.approx(p, abs=0.012)  # the synthetic images alone are off by bias


@given(st.integers(2, 30), st.floats(0, 1), st.integers(0, 2**31))
def test_constant_standins_change_nothing(n: int, constant: float, seed: int) -> None:
    truth = np.random.default_rng(seed).random(n) < 0.6
    found = powered_share(truth, np.full(n, constant), np.full(50, constant))
    alone = share(truth)
    assert found.weight == 0
    assert found.estimate.value == pytest.approx(alone.value)
    assert found.worth == pytest.approx(n)
    assert 0 <= found.estimate.low <= found.estimate.value <= found.estimate.high <= 1
    assert found.estimate.high - found.estimate.low > 0


def test_no_mistake_among_few_leaves_room_for_one() -> None:
    found = powered_share(np.ones(10, bool), np.ones(10), np.ones(1000))
    assert found.estimate.value == 1
    assert found.estimate.low < 0.8  # ten real images cannot say more, whatever a thousand stand-ins say


def test_images_of_one_patient_count_as_one() -> None:
    rng = np.random.default_rng(1)
    truth, standin = draw(rng, 40, 0.7, 0.9, 0)
    others = draw(rng, 200, 0.7, 0.9, 0)[1]
    once = powered_share(truth, standin, others)
    thrice = powered_share(
        truth.repeat(3), standin.repeat(3), others, family=np.arange(40).repeat(3), other_family=np.arange(200)
    )
    assert thrice.estimate.value == pytest.approx(once.estimate.value)
    assert (thrice.estimate.low, thrice.estimate.high) == pytest.approx((once.estimate.low, once.estimate.high))


def test_standins_of_other_images_are_seen() -> None:
    rng = np.random.default_rng(2)
    truth, standin = draw(rng, 60, 0.8, 0.9, 0)
    assert powered_share(truth, standin, draw(rng, 300, 0.4, 0.9, 0)[1]).p_mismatch < 0.001


@pytest.mark.parametrize(("n", "others", "word"), [(1, 50, "real"), (30, 1, "synthetic"), (0, 0, "real")])
def test_too_few_are_no_estimate(n: int, others: int, word: str) -> None:
    found = powered_share(np.ones(n, bool), np.ones(n), np.ones(others))
    assert math.isnan(found.estimate.value)
    assert found.estimate.note == f"fewer than two {word} images"
