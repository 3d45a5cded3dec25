"""The threshold keeps its promise on average, and a single calibration keeps to the worse rate that it names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from evalsuite.privacy.calibrate import calibrate
from shards.errors import UserError


@pytest.mark.parametrize(("n", "asked"), [(20, 0.01), (100, 0.01), (400, 0.05)])
def test_false_alarms_keep_to_what_is_promised(n: int, asked: float) -> None:
    """The true rate of each of 200 calibrations is known, as the scores are normal."""
    rates, kept = [], 0
    for seed in range(200):
        scores = np.random.default_rng(seed).normal(size=n)
        found = calibrate(pd.DataFrame({"likeness": scores}), ("likeness",), asked, "")
        cut = found.centre["likeness"] + found.threshold * found.spread["likeness"]
        rates.append(float(norm.sf(cut)))
        kept += rates[-1] <= found.worst
    assert np.mean(rates) <= found.false_alarms * 1.1
    assert found.false_alarms == pytest.approx(max(asked, 1 / (n + 1)))
    assert kept / 200 >= 0.92  # 95 % at least, as far as 200 draws can tell


def test_a_few_unseen_images_promise_little_and_it_is_said() -> None:
    """With 36 a perfect generator is called to copy up to 8 % of its images by one audit in twenty."""
    found = calibrate(pd.DataFrame({"likeness": np.arange(36.0)}), ("likeness",), 0.01, "unseen test images")
    assert found.worst == pytest.approx(1 - 0.05 ** (1 / 36))
    assert "at most 2.7% of unseen real images are expected" in found.sentence()
    assert "at most 8.0%" in found.sentence()
    with pytest.raises(UserError, match="at least 20"):
        calibrate(pd.DataFrame({"likeness": np.arange(19.0)}), ("likeness",), 0.01, "")
