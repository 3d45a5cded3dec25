"""What images cost at an hourly price."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from bench.measure.record import Measurement
from bench.measure.timing import interval
from dermforge.common.errors import UserError

PRICE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/\s*(h|min|s))?")
SECONDS = {"h": 3600, "min": 60, "s": 1}


@dataclass(frozen=True)
class Cost:
    """Cost of 1,000 images, with its 95 % interval (NaN with fewer than three repeats).

    Attributes
    ----------
    images_for_one
        Images for one unit of the currency.
    """

    name: str
    images_per_second: float
    cost: float
    low: float
    high: float
    images_for_one: float


def price_per_second(text: str) -> float:
    """The price per second of a text such as 2.5/h, 0.04/min or 2.5 (per hour).

    Raises
    ------
    UserError
        The text is not a price.
    """
    found = PRICE.fullmatch(text.strip())
    if not found:
        raise UserError(f"expected a price per hour such as 2.5/h, got {text!r}")
    return float(found[1]) / SECONDS[found[2] or "h"]


def per_thousand(rate: Measurement, price: float) -> Cost:
    """Cost of 1,000 images at a measured rate.

    Parameters
    ----------
    price
        Per second, in any currency.
    """
    slow, fast = interval(rate.samples)
    usual, low, high = (1000 * price / r for r in (rate.median, fast, slow))
    return Cost(rate.name, rate.median, usual, low, high, rate.median / price if price else math.inf)
