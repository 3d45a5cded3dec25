"""Words for an interval, and the least numbers for any."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.stats.verdict import lacking, verdict


@given(gain=st.floats(-0.2, 0.2), half=st.floats(0.001, 0.2), margin=st.floats(0.005, 0.05))
@settings(max_examples=60, deadline=None)
def test_a_verdict_never_says_more_than_its_interval(gain: float, half: float, margin: float) -> None:
    """`helps` needs the whole interval above 0, `no relevant difference` the whole interval within the margin."""
    low, high = gain - half, gain + half
    said = verdict(gain, low, high, margin)
    assert (said == "no relevant difference") == (-margin <= low and high <= margin)
    assert said != "helps" or (low > 0 and high > margin)
    assert said != "hurts" or (high < 0 and low < -margin)
    assert said != "cannot be determined" or low <= 0 <= high
    assert verdict(gain, low, high, margin, enough=False) == "not enough data"


def test_a_gain_within_the_margin_is_not_called_help() -> None:
    """Chance does not explain it, and yet nobody would notice it."""
    assert verdict(0.003, 0.001, 0.005, 0.02) == "no relevant difference"
    assert verdict(float("nan"), float("nan"), float("nan"), 0.02) == "not enough data"


@pytest.mark.parametrize(
    ("images", "patients", "rarest", "seeds", "text"),
    [
        (2, 2, None, 5, "2 test images, at least 10 are needed"),
        (1, 1, 0, 1, "1 test image, at least 10 are needed"),
        (40, 4, None, 5, "test images of 4 patients, at least 10 patients are needed"),
        (40, 40, 3, 5, "3 test images of the rarest class, at least 5 are needed"),
        (40, 40, 9, 1, "1 training run of each arm, at least 3 are needed"),
        (10, 10, 5, 3, ""),
        (10, 10, None, 3, ""),
    ],
)
def test_what_lacks_is_named(images: int, patients: int, rarest: int | None, seeds: int, text: str) -> None:
    assert lacking(images, patients, rarest, seeds) == text
