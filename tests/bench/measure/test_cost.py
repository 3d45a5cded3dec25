"""Costs: arithmetic that a person can check by hand."""

from __future__ import annotations

import pytest

from bench.measure.cost import per_thousand, price_per_second
from bench.measure.record import Measurement
from dermforge.common.errors import UserError

RATE = Measurement(name="paper/fast", unit="images/s", better="higher", samples=[10.0, 10.0, 10.0])


@pytest.mark.parametrize(("text", "hour"), [("2.5/h", 2.5), ("2.5", 2.5), ("0.05/min", 3.0), ("0.001 / s", 3.6)])
def test_prices_are_read(text: str, hour: float) -> None:
    """By the hour unless it says otherwise."""
    assert price_per_second(text) * 3600 == pytest.approx(hour)


@pytest.mark.parametrize("text", ["", "free", "-1/h", "2.5/day", "2,5/h"])
def test_other_prices_are_refused(text: str) -> None:
    """Never a guess."""
    with pytest.raises(UserError, match=r"expected a price per hour such as 2.5/h"):
        price_per_second(text)


def test_a_thousand_images_at_ten_a_second_take_a_hundred_seconds() -> None:
    """At 3.6 an hour that is 0.1."""
    cost = per_thousand(RATE, price_per_second("3.6/h"))
    assert (cost.cost, cost.low, cost.high) == pytest.approx((0.1, 0.1, 0.1))
    assert cost.images_for_one == pytest.approx(10_000)


def test_nothing_costs_nothing() -> None:
    """A free machine makes any number of images for 1."""
    cost = per_thousand(RATE, 0.0)
    assert (cost.cost, cost.images_for_one) == (0.0, float("inf"))


def test_the_interval_is_the_right_way_round() -> None:
    """The slowest runs give the highest cost."""
    cost = per_thousand(RATE.model_copy(update={"samples": [9.0, 10.0, 11.0]}), 1.0)
    assert cost.low < cost.cost < cost.high
