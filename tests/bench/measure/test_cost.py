"""Costs, estimates and anchors: arithmetic that a person can check by hand."""

from __future__ import annotations

import pytest

from bench.measure.cost import per_thousand, price_per_second
from bench.measure.record import Measurement
from bench.peers.anchors import ANCHORS, Anchor, not_comparable
from bench.suites.paper import PAPER_IMAGES, hours
from dermforge.common.errors import UserError

RATE = Measurement(name="paper/fast", unit="images/s", better="higher", samples=[10.0, 10.0, 10.0])


@pytest.mark.parametrize(("text", "hour"), [("2.5/h", 2.5), ("2.5", 2.5), ("0.05/min", 3.0), ("0.001 / s", 3.6)])
def test_prices_are_read(text: str, hour: float) -> None:
    """By the hour unless it says otherwise."""
    assert price_per_second(text) * 3600 == pytest.approx(hour)


@pytest.mark.parametrize("text", ["", "free", "-1/h", "2.5/day", "2,5/h"])
def test_other_prices_are_refused(text: str) -> None:
    """Never a guess."""
    with pytest.raises(UserError, match=r"expected a number an hour, such as 2.5/h"):
        price_per_second(text)


def test_a_thousand_images_at_ten_a_second_take_a_hundred_seconds() -> None:
    """At 3.6 an hour that is 0.1."""
    cost = per_thousand(RATE, price_per_second("3.6/h"))
    assert (cost.cost, cost.low, cost.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_papers_images_at_ten_a_second() -> None:
    """458,920 images are 12.75 hours; two runs have no interval."""
    assert hours(RATE).median == pytest.approx(PAPER_IMAGES / 36_000)
    assert hours(RATE, 36_000).median == pytest.approx(1.0)
    two = hours(RATE.model_copy(update={"samples": [9.0, 11.0]}))
    assert two.details["low"] is two.details["high"] is None


def test_the_interval_is_the_right_way_round() -> None:
    """The slowest runs give the longest time and the highest cost."""
    varied = RATE.model_copy(update={"samples": [9.0, 10.0, 11.0]})
    h, c = hours(varied), per_thousand(varied, 1.0)
    assert float(h.details["low"] or 0) < h.median < float(h.details["high"] or 0)
    assert c.low < c.cost < c.high


def test_implied_tflops_are_those_of_the_published_rates() -> None:
    """Images a second times 82.84, 42.68 or 34.65 TFLOP (50, 25 and 20 guided steps of SD 1.5 at 512 px)."""
    tera = {50: 82.84, 25: 42.68, 20: 34.65}
    for anchor in ANCHORS:
        if anchor.model == "SD 1.5 512" and anchor.caveat != "UNet only":
            assert anchor.tflops == pytest.approx(anchor.images_per_second * tera[anchor.steps], rel=0.01)


def test_what_cannot_be_compared_is_said() -> None:
    """Another device, model, number of steps or batch is named; the same setting is comparable."""
    mine = Anchor("ours", "NVIDIA H100 80GB HBM3", "SD 1.5 512", 50, 1, 5.0, 414)
    same, other = ANCHORS[0], next(a for a in ANCHORS if "MLPerf" in a.who and a.device == "H200")
    assert not_comparable(same, mine) == []
    assert not_comparable(other, mine) == [
        "on H200",
        "SDXL 1024, not SD 1.5 512",
        "20 steps, not 50",
        "batch not published",
        "FP8",
    ]
