"""The gap without rating errors: right on average, with an interval that holds, and no correction where none is due."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evalsuite.fairness.metric_key import ACCURACY, MetricKey
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.fairness.rater_correction import Corrected, correct

NAMES = ("I-II", "III-IV", "V-VI")
LIGHT, DARK = NAMES[:2], NAMES[2:]


def rated(seed: int, rate: tuple[float, ...] = (0.85, 0.85, 0.65), rho: float = 0.2, n: int = 1200) -> Predictions:
    """Two raters of one true type who err alike: an error of d steps is as likely as rho to the power of d."""
    rng = np.random.default_rng(seed)
    true = rng.choice(3, n, p=(0.45, 0.4, 0.15))
    steps = np.abs(np.arange(3)[:, None] - np.arange(3)[None, :])
    chance = (rho**steps / (rho**steps).sum(axis=1, keepdims=True)).cumsum(axis=1)[true]
    a, b = ((rng.random(n)[:, None] > chance).sum(axis=1) for _ in range(2))
    label, right = rng.integers(0, 2, n), rng.random(n) < np.array(rate)[true]
    p = np.where(right == (label == 1), 0.8, 0.2)
    names = np.array(NAMES)
    frame = {"id": np.arange(n), "label": np.array(["x", "y"])[label], "prob_x": 1 - p, "prob_y": p}
    return from_frame(pd.DataFrame({**frame, "a": names[a], "b": names[b]}), groups=["a", "b"])


def corrected(table: Predictions, seed: int = 0, resamples: int = 200, metric: MetricKey = ACCURACY) -> Corrected:
    found = correct(table, ["a", "b"], metric, DARK, LIGHT, seed=seed, resamples=resamples)
    assert found is not None
    return found


def test_the_correction_undoes_attenuation() -> None:
    """Of 40 tables with a true gap of 20 points: 12 by rater A, 20 corrected; a quarter of ratings are off."""
    found = [corrected(rated(seed), seed, resamples=50) for seed in range(40)]
    assert np.mean([f.observed for f in found]) == pytest.approx(0.12, abs=0.015)
    assert np.mean([f.corrected for f in found]) == pytest.approx(0.20, abs=0.02)
    assert np.mean([f.off for f in found]) == pytest.approx(0.23, abs=0.01)
    assert np.mean([f.alike_p < 0.05 for f in found]) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "truth"), [((0.85, 0.85, 0.65), 0.2), ((0.8, 0.8, 0.8), 0.0), ((0.9, 0.9, 0.85), 0.05)]
)
def test_its_interval_covers_the_true_gap(rate: tuple[float, ...], truth: float) -> None:
    """Of 300 tables: 95 % within three standard errors; equal groups are not made unequal."""
    found = [corrected(rated(seed, rate), seed) for seed in range(300)]
    covered = np.mean([f.low <= truth <= f.high for f in found])
    print(rate, covered)
    assert 0.91 <= covered <= 0.985


def test_raters_who_agree_need_no_correction() -> None:
    table = rated(0)
    same = table.with_group("b", table.groups["a"].to_numpy())
    found = corrected(same)
    assert found.corrected == pytest.approx(found.observed, abs=1e-3)
    assert found.off < 1e-3
    assert found.alike_p == 1.0


def test_raters_who_use_the_scale_differently_are_said_to() -> None:
    """Rater B calls a third of III-IV darker: the raters do not err alike."""
    table = rated(0)
    b = table.groups["b"].to_numpy(str).copy()
    b[(b == "III-IV") & (np.arange(len(b)) % 3 == 0)] = "V-VI"
    found = corrected(table.with_group("b", b))
    assert found.alike_p < 0.01
    assert "use the scale differently" in found.text()


def test_only_shares_with_both_ratings_are_corrected() -> None:
    """A ranking is not a mixture of the groups' rankings; a row with one rating says nothing of errors."""
    table = rated(0)
    assert correct(table, ["a", "b"], MetricKey("auroc"), DARK, LIGHT) is None
    b = table.groups["b"].to_numpy(object).copy()
    b[:100] = "unknown"
    assert corrected(table.with_group("b", b)).n == table.n - 100
    assert corrected(table, metric=MetricKey("sensitivity", cls="x")).n == int((table.labels == 0).sum())
