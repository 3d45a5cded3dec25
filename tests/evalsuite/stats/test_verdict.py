"""Words for an interval."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.stats.verdict import verdict


@given(gain=st.floats(-0.2, 0.2), half=st.floats(0.001, 0.2), margin=st.floats(0.005, 0.05))
@settings(max_examples=60, deadline=None)
def test_a_verdict_never_says_more_than_its_interval(gain: float, half: float, margin: float) -> None:
    """`helps` needs the whole interval above 0, `no difference` the whole interval within the margin."""
    low, high = gain - half, gain + half
    said = verdict(gain, low, high, margin)
    assert (said == "helps") == (low > 0)
    assert (said == "hurts") == (high < 0)
    if said == "no difference":
        assert -margin < low <= 0 <= high < margin
    assert verdict(gain, low, high, margin, enough=False) == "not enough data"
