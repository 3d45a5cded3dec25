"""Skin types are compared over all training runs."""

from __future__ import annotations

import numpy as np

from evalsuite.study.paired_scores import Score
from evalsuite.study.skin_type_gap import skin_type_gap


def score(by_seed: np.ndarray, items: float, rng: np.random.Generator, n: int = 200, lacking: str = "") -> Score:
    """A score whose bootstrap has the variance of its seeds and its items."""
    spread = np.sqrt(items**2 + by_seed.var(ddof=1) / len(by_seed))
    return Score(float(by_seed.mean()), rng.normal(by_seed.mean(), spread, 400), by_seed, n, lacking)


def test_the_luck_of_training_raises_few_alarms() -> None:
    """Six equal groups of 400, training luck of 4 points for each: at most 6 % beyond chance (the first seed: 35 %)."""
    rng, alarms, of_one = np.random.default_rng(0), 0, 0
    for _ in range(300):
        true = 0.8 + rng.normal(0, 0.04, (6, 5))
        by_seed = true + rng.normal(0, 0.02, (6, 1))
        found = skin_type_gap({g: score(row, 0.02, rng) for g, row in zip("abcdef", by_seed, strict=True)})
        one = skin_type_gap({g: score(np.full(5, row[0]), 0.02, rng) for g, row in zip("abcdef", by_seed, strict=True)})
        assert found is not None
        assert one is not None
        alarms += found.known.p <= 0.05
        of_one += one.known.p <= 0.05
    assert alarms <= 0.06 * 300 + 2 * np.sqrt(0.06 * 0.94 * 300)
    assert of_one > 3 * alarms


def test_a_real_gap_is_found_and_a_lacking_group_is_not_compared() -> None:
    rng = np.random.default_rng(1)
    fine, worse = (score(level + rng.normal(0, 0.01, 5), 0.02, rng) for level in (0.85, 0.6))
    few = score(np.full(5, 0.1) + rng.normal(0, 0.01, 5), 0.1, rng, 4, "4 test images")
    found = skin_type_gap({"I": fine, "V": worse, "VI": few})
    assert found is not None
    assert found.worst == "V"
    assert "Worst for V, best for I" in found.text()
    assert "over 5 training runs" in found.text()
    assert skin_type_gap({"I": fine, "VI": few}) is None


def test_no_gap_reads_as_not_determined() -> None:
    rng = np.random.default_rng(2)
    found = skin_type_gap({g: score(0.8 + rng.normal(0, 0.01, 5), 0.03, rng) for g in ("I", "V")})
    assert found is not None
    assert "cannot be determined" in found.text()
    assert "would have been seen with a chance of 80 %" in found.text()
