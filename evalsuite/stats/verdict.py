"""What an interval of a gain allows to say."""

from __future__ import annotations

import math
from typing import Literal

Verdict = Literal["helps", "hurts", "no difference", "may hurt", "cannot be determined", "not enough data"]


def verdict(gain: float, low: float, high: float, margin: float, enough: bool = True) -> Verdict:
    """What a gain in score means.

    Parameters
    ----------
    margin
        Differences up to this do not matter; named before the study.
    """
    if not enough or not math.isfinite(gain):
        return "not enough data"
    if low > 0:
        return "helps"
    if high < 0:
        return "hurts"
    if low > -margin and high < margin:
        return "no difference"
    return "may hurt" if low <= -margin and gain < 0 else "cannot be determined"
