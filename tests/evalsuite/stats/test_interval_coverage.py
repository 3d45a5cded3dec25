"""What the intervals of the card hold: the tables of docs/validation.md again.

`python -m pytest -m slow -s tests/evalsuite/stats/test_interval_coverage.py` prints them. A bound is what is
documented, plus twice the error of the number of tables drawn; balanced accuracy is summed exactly, in
test_intervals.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from evalsuite.fairness import group_estimates, metrics
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.partition import GroupData
from evalsuite.stats import average_precision as ap
from evalsuite.stats import calibration, intervals

CLASSES = "abcdef"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def judge(name: str, held: list[bool], least: float = 93, most: float = 97) -> None:
    """Print the coverage in percent and compare it."""
    found, error = 100 * np.mean(held), 100 * math.sqrt(0.05 * 0.95 / len(held))
    print(f"{name}: {found:.1f} (error {error:.1f})")
    assert least - 2 * error <= found <= most + 2 * error, name


def average_precision(shift: float, share: float) -> float:
    """Of positives N(shift, 1) among negatives N(0, 1), in a table without end."""

    def part(score: float) -> float:
        hit, false = share * norm.sf(score - shift), (1 - share) * norm.sf(score)
        return float(norm.pdf(score - shift) * hit / (hit + false))

    return float(quad(part, shift - 8, shift + 8, limit=400)[0])


#: Rows, positives, shift of their scores; what is held at least and at most. Beyond 93 to 97: AUPRC near 1 in few rows
#: (a perfect table in four), more positives than negatives, and few positives that are hardly told from the rest.
RANKED = [
    (30, 15, 0.8, 93, 97),
    (30, 15, 1.5, 93, 97),
    (30, 15, 2.2, 93, 97),
    (30, 15, 3.0, 97, 98.5),
    (30, 10, 1.0, 93, 97),
    (30, 10, 2.0, 93, 97.7),
    (30, 20, 1.0, 92.5, 97),
    (100, 50, 0.4, 93, 97),
    (100, 50, 0.8, 93, 97),
    (100, 50, 1.5, 93, 97),
    (100, 50, 2.5, 93, 97),
    (100, 50, 3.2, 93, 97),
    (100, 20, 0.8, 93, 97),
    (100, 20, 2.0, 93, 97),
    (100, 10, 1.0, 93, 97),
    (100, 80, 1.0, 91.5, 93.5),
    (600, 300, 0.8, 93, 97),
    (600, 300, 2.0, 93, 97),
    (600, 300, 3.0, 93, 97),
    (600, 60, 0.8, 93, 97),
    (600, 60, 2.0, 93, 97),
    (600, 12, 1.0, 88, 90.5),
    (600, 12, 2.0, 93, 97),
]


@pytest.mark.parametrize(("n", "positives", "shift", "least", "most"), RANKED)
def test_average_precision(n: int, positives: int, shift: float, least: float, most: float) -> None:
    """One class against the rest, as `estimates` puts it together, 4,000 tables."""
    rng, positive = np.random.default_rng(n + positives), np.arange(n) < positives
    truth, held = average_precision(shift, positives / n), []
    size, _ = intervals.effective_size(np.array([positives, n - positives]))
    for _ in range(4000):
        value, influences = ap.influence(rng.normal(size=n) + shift * positive, positive)
        degrees = min(ap.degrees(influences), positives - 1)
        low, high = intervals.score_interval(
            value, float(np.square(influences).sum()), size, intervals.student(degrees)
        )
        held.append(low <= truth <= high)
    judge(f"AUPRC, {positives} of {n}, true {truth:.2f}", held, least, most)


def tables(rng: np.random.Generator, sizes: list[int], separation: float, sure: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels: classes apart by `separation`, predictions `sure` times as sure as they should be."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    scores = rng.normal(size=(len(labels), len(sizes))) + separation * np.eye(len(sizes))[labels]
    probs = np.exp(sure * separation * scores)
    return probs / probs.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("n", [30, 100, 600])
@pytest.mark.parametrize(
    ("classes", "separation", "sure"), [(2, 1, 1), (2, 1.5, 1), (3, 1.2, 1), (3, 2, 2), (6, 1.5, 1)]
)
def test_the_whole_card(n: int, classes: int, separation: float, sure: float) -> None:
    """Means over classes, F1 and the Brier score through `estimates`; 1,000 tables, error 0.7."""
    rng, settings = np.random.default_rng(n + classes), CardSettings()
    names = tuple(CLASSES[:classes])
    truth = metrics.one(metrics.score(*tables(rng, [60_000] * classes, separation, sure), names))
    held: dict[str, list[bool]] = {m: [] for m in ("auprc", "auroc", "balanced_accuracy", "macro_f1", "brier")}
    for _ in range(1000):
        probs, labels = tables(rng, [n // classes] * classes, separation, sure)
        scored = metrics.score(probs, labels, names)
        made = group_estimates.estimates(GroupData(np.arange(len(labels)), scored, None), {}, settings)
        for metric, found in held.items():
            estimate = made[MetricKey(metric)]
            found.append(estimate.low <= truth[MetricKey(metric)] <= estimate.high)
    for metric, found in held.items():
        judge(f"{metric}, {classes} classes, n = {n}, separation {separation}", found, 93, 97.6)


def held_by_recalibration(
    probability: np.ndarray, event: np.ndarray, slope: float, level: float
) -> tuple[bool, bool] | None:
    """Whether slope and intercept are held; None where one outcome has fewer than ten rows: those are not shown."""
    fit = calibration.recalibrate(probability, event)
    if min(event.sum(), len(event) - event.sum()) < 10 or not np.isfinite(fit.slope):
        return None
    (low, high), (floor, ceiling) = fit.slope_interval(), fit.large_interval()
    return low <= slope <= high, floor <= level <= ceiling


@pytest.mark.parametrize("n", [30, 100, 600])
@pytest.mark.parametrize("spread", [1.0, 2.0])
@pytest.mark.parametrize("base", [0.0, -1.0])
def test_calibration_slope_of_two_classes(n: int, spread: float, base: float) -> None:
    """Calibrated predictions, 3,000 tables; a slope of 0.5 is the same by a change of units.

    At n = 30 the intercept is held more often where the base rate is even: tables with nine events are left out.
    """
    rng = np.random.default_rng(n)
    held: list[tuple[bool, bool]] = []
    while len(held) < 3000:
        chance = 1 / (1 + np.exp(-rng.normal(size=n) * spread - base))
        found = held_by_recalibration(chance, rng.random(n) < chance, 1, 0)
        held += [found] if found else []
    judge(f"slope, n = {n}, spread {spread}, base {base}", [slope for slope, _ in held])
    judge(f"intercept, n = {n}, spread {spread}, base {base}", [level for _, level in held], 93, 98 if n == 30 else 97)


@pytest.mark.parametrize("n", [30, 100, 600])
@pytest.mark.parametrize(("classes", "separation"), [(3, 1), (6, 1.5)])
@pytest.mark.parametrize("sure", [1, 2])
def test_calibration_slope_of_the_likeliest_class(n: int, classes: int, separation: float, sure: int) -> None:
    """Of several classes: confidence against being right, predictions calibrated or twice as sure; 2,000 tables."""
    rng = np.random.default_rng(n + classes)
    held: list[tuple[bool, bool]] = []

    def draw(rows: int) -> tuple[np.ndarray, np.ndarray]:
        probs, labels = tables(rng, [rows // classes] * classes, separation, sure)
        return probs.max(axis=1), probs.argmax(axis=1) == labels

    truth = calibration.recalibrate(*draw(300_000))
    while len(held) < 2000:
        found = held_by_recalibration(*draw(n), truth.slope, truth.in_the_large)
        held += [found] if found else []
    judge(f"slope, {classes} classes, n = {n}, {sure} times as sure", [slope for slope, _ in held])
    judge(f"intercept, {classes} classes, n = {n}, {sure} times as sure", [level for _, level in held])


@pytest.mark.parametrize("n", [50, 100, 600])
@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_calibration_error(n: int, slope: float) -> None:
    """Calibrated predictions and ones twice as sure: the error of their own bins, 3,000 tables; shown from 50 rows."""
    rng = np.random.default_rng(n)
    held: list[bool] = []
    for _ in range(3000):
        chance = rng.uniform(0.5, 0.999, n)
        said, right = 1 / (1 + ((1 - chance) / chance) ** (1 / slope)), rng.random(n) < chance
        bins = calibration.equal_mass_bins(said)
        sums = [np.bincount(bins, weights=w).astype(float) for w in (np.ones(n), said, right)]
        low, high = calibration.ece_interval(sums[0], sums[1], sums[2])
        truth = float(np.abs(sums[1] - np.bincount(bins, weights=chance)).sum()) / n
        held.append(low <= truth <= high)
    judge(f"ECE, n = {n}, slope {slope}", held)
