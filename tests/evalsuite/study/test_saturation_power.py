"""Studies drawn at random: a planted saturation is found where the numbers allow, and none where the gain goes on."""

from __future__ import annotations

import numpy as np
import pytest

from bench.suites.statistics.planted_studies import RISING, UP_TO_TEN, saturation

TIMES = 12


def test_a_planted_saturation_is_found_in_four_of_five_studies() -> None:
    """2,000 test images and five seeds; all of 60 in docs/validation.md."""
    rng = np.random.default_rng(1)
    found = [saturation(rng, UP_TO_TEN, 2000, 5) for _ in range(TIMES)]
    assert sum((f.ratio, f.status) == (10, "reached") for f in found) >= 0.8 * TIMES


@pytest.mark.parametrize(("n", "seeds"), [(300, 3), (300, 5), (2000, 5)])
def test_three_points_a_doubling_are_never_called_saturated(n: int, seeds: int) -> None:
    """The old rule called it saturated at the first step in 98 of 100 studies of 300 test images."""
    rng = np.random.default_rng(2)
    found = [saturation(rng, RISING, n, seeds) for _ in range(TIMES)]
    assert {f.status for f in found} <= {"not reached", "cannot be determined"}
