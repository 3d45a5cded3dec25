"""Timing: what sleeps is measured, warm-up is not counted, and intervals cover the truth."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from bench.measure.timing import in_turn, interval, median, seconds, spread

CPU = torch.device("cpu")


def test_a_sleep_takes_as_long_as_it_takes() -> None:
    """The clock measures wall time, and never less than what passed."""
    took = seconds(lambda: time.sleep(0.06), CPU, repeats=3)
    assert len(took) == 3
    assert min(took) >= 0.06


def test_short_calls_are_repeated_until_the_clock_can_see_them() -> None:
    """A call that does nothing is timed over many, and its time is that of one."""
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    took = seconds(call, CPU, repeats=2)
    assert calls > 100
    assert median(took) < 1e-3


def test_the_warm_up_is_not_counted() -> None:
    """A first call that compiles must not be in the numbers."""
    first = iter([0.3])
    took = seconds(lambda: time.sleep(next(first, 0.06)), CPU, repeats=3, warmup=1)
    assert max(took) < 0.25


def test_peers_take_turns() -> None:
    """A round of all at a time, so that a slow minute hits all of them."""
    order = []

    def call(name: str) -> None:
        order.append(name)
        time.sleep(0.06)

    in_turn({"a": lambda: call("a"), "b": lambda: call("b")}, CPU, repeats=2)
    assert "".join(order) == "ab" + "abab"


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """95 % of intervals of five log-normal samples hold the geometric mean."""
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(1000):
        low, high = interval(list(np.exp(rng.normal(0.0, 0.2, 5))))
        inside += low <= 1.0 <= high
    assert inside / 1000 == pytest.approx(0.95, abs=0.025)


def test_what_was_not_measured_often_enough_is_undefined() -> None:
    """No interval of two, no median of none."""
    assert all(map(math.isnan, interval([1.0, 2.0])))
    assert math.isnan(median([]))
    assert all(map(math.isnan, spread([])))
