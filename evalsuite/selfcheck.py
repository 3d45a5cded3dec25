"""Check the suite on planted truths: tables whose gap, calibration, leak, saturation and exchange rate are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binom

from dermforge.common.errors import UserError
from evalsuite.fairness import disjoint, predictions
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compare_models import compare
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import Predictions
from evalsuite.stats.estimate import Estimate
from evalsuite.stats.intervals import z_of
from evalsuite.study import dose
from evalsuite.study.exchange import LearningCurve
from evalsuite.study.exchange import exchange as exchange_rate

PARTS = 7
CLASSES = ("macule", "nodule", "plaque")
LEAST, MOST = 0.4, 0.999  # confidence of the likeliest of three classes
CONFIDENCE = 0.995  # of each interval, so that all of them hold in 95 of 100 seeds
NO_ALARM = 0.999  # share of correct suites that stay within the allowed number of false alarms


@dataclass(frozen=True)
class Check:
    """One planted truth and what was found; miss_rate: how often a correct suite misses it by chance, at most."""

    name: str
    planted: str
    found: str
    passed: bool
    miss_rate: float = 1 - CONFIDENCE


@dataclass(frozen=True)
class Group:
    """A group of a planted table.

    Attributes
    ----------
    accuracy
        Its true expected accuracy.
    slope
        Its true calibration slope: 1 is calibrated, 0.5 twice as confident (in logits) as it should be.
    """

    name: str
    n: int
    accuracy: float
    slope: float = 1.0


def table(groups: Sequence[Group], seed: int, prefix: str = "i") -> Predictions:
    """Predictions with a known truth: each row is right with a chance that its confidence states, up to the slope."""
    rng = np.random.default_rng(seed)
    frames = []
    for group in groups:
        chance = chances(group.accuracy, group.n, rng)
        label = rng.integers(0, len(CLASSES), group.n)
        right = rng.random(group.n) < chance
        call = np.where(right, label, (label + rng.integers(1, len(CLASSES), group.n)) % len(CLASSES))
        said = expit(logit(chance) / group.slope)
        probs = np.repeat(((1 - said) / (len(CLASSES) - 1))[:, None], len(CLASSES), axis=1)
        probs[np.arange(group.n), call] = said
        frame = pd.DataFrame(probs, columns=[f"prob_{c}" for c in CLASSES])
        frame.insert(0, "label", np.array(CLASSES)[label])
        frames.append(frame.assign(fst=group.name))
    whole = pd.concat(frames, ignore_index=True)
    whole.insert(0, "id", [f"{prefix}{i:06d}" for i in range(len(whole))])
    return predictions.from_frame(whole, groups=["fst"], source=f"planted table {prefix}")


def chances(accuracy: float, n: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Probability of each row to be right, spread over the range, with the wanted expectation."""
    reach = min(accuracy - LEAST, MOST - accuracy)
    return np.clip(rng.uniform(accuracy - reach, accuracy + reach, n), LEAST, MOST)


def true_ece(accuracy: float, slope: float) -> float:
    """Expected |confidence - probability of being right| of a planted group."""
    chance = chances(accuracy, 200_000, np.random.default_rng(0))
    return float(np.abs(expit(logit(chance) / slope) - chance).mean())


def run(seed: int = 0, *, tables: int = 60, tick: Callable[[], None] | None = None) -> list[Check]:
    """All checks.

    Parameters
    ----------
    tables
        Tables without any gap on which false alarms are counted.
    """
    checks: list[Check] = []
    parts: tuple[Callable[[], list[Check]], ...] = (
        lambda: known_gap(10 * seed + 1),
        lambda: no_gap(seed, tables),
        lambda: levelling_down(10 * seed + 2),
        lambda: miscalibration(10 * seed + 3),
        lambda: leakage(10 * seed + 4),
        lambda: saturation(seed),
        lambda: exchange(seed),
    )
    for part in parts:
        checks += part()
        if tick is not None:
            tick()
    return checks


def known_gap(seed: int) -> list[Check]:
    """One group in six is 15 points worse."""
    groups = [Group(name, 600, 0.70 if name == "V" else 0.85) for name in ("I", "II", "III", "IV", "V", "VI")]
    gap = compute_card(table(groups, seed), ["fst"], CardSettings(confidence=CONFIDENCE)).gap("fst")
    found = f"{gap.difference:.3f} ({gap.low:.3f} to {gap.high:.3f}), worst {gap.worst}, p {gap.p:.3g}"
    right = gap.low <= 0.15 <= gap.high and gap.worst == "V" and gap.beyond_chance
    return [Check("known gap", "0.150 in accuracy, worst V", found, right)]


def no_gap(seed: int, tables: int) -> list[Check]:
    """Equal groups: alarms come at the stated rate of 5 %, up to chance in this number of tables."""
    groups = [Group(name, n, 0.8) for name, n in (("I", 160), ("II", 100), ("III", 60))]
    p = [
        compute_card(table(groups, 10_000 + seed * 997 + i), ["fst"], CardSettings()).gap("fst").p
        for i in range(tables)
    ]
    alarms = sum(v <= 0.05 for v in p)
    allowed = int(binom.ppf(NO_ALARM, tables, 0.05))
    planted = f"alarms in 5 % of {tables} tables, at most {allowed}"
    return [Check("no gap", planted, f"{alarms}", alarms <= allowed, 1 - NO_ALARM)]


def levelling_down(seed: int) -> list[Check]:
    """A gap that closes because the better group got worse, and one that closes because the worse one gained."""
    before = table([Group("light", 1000, 0.90), Group("dark", 1000, 0.70)], seed)
    checks = []
    for name, light, dark, expected in (("levelled down", 0.72, 0.70, True), ("lifted", 0.90, 0.85, False)):
        after = table([Group("light", 1000, light), Group("dark", 1000, dark)], seed)
        made = compare(before, after, ["fst"], CardSettings(confidence=CONFIDENCE))
        gap, change = made.gaps[0], (light - dark) - 0.2
        inside = gap.low <= change <= gap.high
        checks.append(
            Check(
                name,
                f"gap {change:+.3f}, levelled down: {expected}",
                f"{gap.difference:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}), {gap.reading}; no group worse: "
                f"{made.no_group_worse}",
                inside and gap.levelled_down == expected and made.no_group_worse != expected,
            )
        )
    return checks


def miscalibration(seed: int) -> list[Check]:
    """One group is twice as confident as it should be, the other is calibrated."""
    own = table([Group("light", 2000, 0.75), Group("dark", 2000, 0.75, slope=0.5)], seed)
    made = compute_card(own, ["fst"], CardSettings(confidence=CONFIDENCE))
    checks = []
    for name, slope in (("light", 1.0), ("dark", 0.5)):
        row = made.row("fst", name)
        ece = true_ece(0.75, slope)
        checks += [
            _covers(f"calibration slope, {name}", slope, row["calibration_slope"]),
            _covers(f"calibration error, {name}", ece, row["ece"]),
        ]
    gap = made.gap("fst", "ece")
    checks.append(
        Check(
            "worst calibrated group",
            "dark, beyond chance",
            f"{gap.worst}, p {gap.p:.3g}",
            gap.worst == "dark" and gap.beyond_chance,
            0.0,
        )
    )
    return checks


def leakage(seed: int) -> list[Check]:
    """Test ids among the training ids are named and refused."""
    test, other = (table([Group("I", 40, 0.8), Group("II", 40, 0.8)], seed + i, prefix=p) for i, p in enumerate("ab"))
    frame = other.to_frame()
    frame.loc[[3, 7], "id"] = ["a000003", "a000007"]
    leaked = predictions.from_frame(frame, groups=["fst"], source="training table")
    try:
        disjoint.refuse_overlap(test, leaked, "train")
        said = "nothing"
    except UserError as error:
        said = str(error)
    clean = True
    try:
        disjoint.refuse_overlap(test, other, "train")
    except UserError:
        clean = False
    return [
        Check(
            "leakage",
            "a000003, a000007 refused; a disjoint table passes",
            said.split(" (")[-1].split(")")[0],
            "a000003, a000007" in said and clean,
            0.0,
        )
    ]


def saturation(seed: int) -> list[Check]:
    """Scores that rise with every doubling up to 10:1 and not beyond."""
    rng = np.random.default_rng(seed)
    ratios = np.array([0.0, 1, 2, 5, 10, 20, 50])
    truth = 0.6 + 0.2 * np.minimum(np.log2(1 + ratios) / math.log2(11), 1)
    error = 0.004
    scores = truth + rng.normal(0, error, len(ratios))
    half = z_of(CONFIDENCE) * error * math.sqrt(2)
    found = dose.saturation(ratios.tolist(), [(g, g - half, g + half) for g in np.diff(scores).tolist()])
    rising, error = truth[0] + 0.03 * np.arange(len(ratios)), 0.03  # as 300 test images and a few seeds give
    half = z_of(CONFIDENCE) * error * math.sqrt(2)
    scores = rising + rng.normal(0, error, len(ratios))
    noisy = dose.saturation(ratios.tolist(), [(g, g - half, g + half) for g in np.diff(scores).tolist()])
    return [
        Check("saturation", "10:1", found.text(), found.ratio == 10, (1 - CONFIDENCE) / 2),
        Check("gain of 3 points a doubling, in noise", "no saturation", noisy.text(), math.isnan(noisy.ratio), 0.001),
    ]


def exchange(seed: int) -> list[Check]:
    """A learning curve 1 - (0.05 + 1.2 n^-0.5), and 1,000 synthetic images worth 0.1 real ones each."""
    rng = np.random.default_rng(seed)

    def truth(n: NDArray[np.floating]) -> NDArray[np.floating]:
        return 1 - (0.05 + 1.2 * n**-0.5)

    sizes, error, resamples = np.array([8.0, 16, 32, 64, 128, 256, 512]), 0.004, 300
    scores = truth(sizes) + rng.normal(0, error, len(sizes))
    mixed = float(truth(np.array([64 + 0.1 * 1000]))[0] + rng.normal(0, error))
    curve = LearningCurve(sizes, scores, scores[:, None] + rng.normal(0, error, (len(sizes), resamples)))
    found = exchange_rate(curve, 64, 1000, mixed, mixed + rng.normal(0, error, resamples), CONFIDENCE)
    inside = found.rate_low <= 0.1 <= found.rate_high
    return [
        Check(
            "exchange rate",
            "0.100 real images for a synthetic one",
            f"{found.rate:.3f} ({found.rate_low:.3f} to {found.rate_high:.3f})",
            inside,
        )
    ]


def _covers(name: str, truth: float, found: Estimate) -> Check:
    return Check(name, f"{truth:.3f}", found.text(), found.low <= truth <= found.high)
