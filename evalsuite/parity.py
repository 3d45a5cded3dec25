"""Demographic parity, equal opportunity, equalised odds: fairlearn's values, with an interval and a null gap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from fairlearn.metrics import (
    demographic_parity_difference,
    demographic_parity_ratio,
    equal_opportunity_difference,
    equal_opportunity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
)
from numpy.typing import NDArray

from evalsuite.card import Gap
from evalsuite.metrics import Scored, Values
from evalsuite.stats import resample

CRITERIA = {
    "demographic_parity": (demographic_parity_difference, demographic_parity_ratio),
    "equal_opportunity": (equal_opportunity_difference, equal_opportunity_ratio),
    "equalised_odds": (equalized_odds_difference, equalized_odds_ratio),
}


def gaps(
    column: str, names: Sequence[str], cells: Sequence[Scored], samples: Sequence[Values], null: Sequence[Values],
    least: int, confidence: float,
) -> list[Gap]:
    """The three criteria for each class one-vs-rest.

    Groups with fewer than `least` rows of the class or of the others are left out: fairlearn calls the true positive
    rate of a group without positives 0, which makes it the worst group.
    """
    out = []
    for index, cls in enumerate(cells[0].classes):
        counts = [int((c.labels == index).sum()) for c in cells]
        used = [i for i, c in enumerate(cells) if min(counts[i], len(c.labels) - counts[i]) >= least]
        if len(used) < 2:
            continue
        truth = np.concatenate([cells[i].labels == index for i in used])
        called = np.concatenate([cells[i].predicted == index for i in used])
        group = np.concatenate([np.full(len(cells[i].labels), names[i]) for i in used])
        left_out = tuple(n for i, n in enumerate(names) if i not in used)
        for criterion, (difference, ratio) in CRITERIA.items():
            value = float(difference(truth, called, sensitive_features=group))
            by_group = _rates(criterion, cls, samples, used)
            shuffled = _spread(_rates(criterion, cls, null, used))
            point = _rates(criterion, cls, [_plain(cells[i], index, cls) for i in range(len(cells))], used)
            widest = int(np.argmax(np.ptp(point[:, :, 0], axis=1)))
            rates = point[widest, :, 0]
            low, high = resample.basic(value, _spread(by_group), confidence, floor=0.0)
            worst, best = int(rates.argmin()), int(rates.argmax())
            if widest == 1:  # false positives: more is worse
                worst, best = best, worst
            out.append(Gap(
                column, f"{criterion}:{cls}", value, low, high,
                float(ratio(truth, called, sensitive_features=group)),
                names[used[worst]], float(rates[worst]), names[used[best]], float(rates[best]),
                *resample.chance(shuffled), resample.p_value(value, shuffled), left_out,
            ))
    return out + _worst_of_classes(column, out)


def _rates(criterion: str, cls: str, samples: Sequence[Values], used: Sequence[int]) -> NDArray[np.float64]:
    """The rates a criterion compares, [1 or 2, groups, b]."""
    rates = {
        "demographic_parity": lambda v: [v[f"selection:{cls}"]],
        "equal_opportunity": lambda v: [v[f"sensitivity:{cls}"]],
        "equalised_odds": lambda v: [v[f"sensitivity:{cls}"], 1 - v[f"specificity:{cls}"]],
    }[criterion]
    return np.stack([np.stack(rates(samples[i])) for i in used], axis=1)


def _spread(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest difference between groups over the rates, [b]."""
    return np.ptp(rates, axis=1).max(axis=0)


def _plain(cell: Scored, index: int, cls: str) -> Values:
    truth, called = cell.labels == index, cell.predicted == index
    positives, negatives = max(int(truth.sum()), 1), max(int((~truth).sum()), 1)
    return {
        f"selection:{cls}": np.array([called.mean()]),
        f"sensitivity:{cls}": np.array([(called & truth).sum() / positives]),
        f"specificity:{cls}": np.array([(~called & ~truth).sum() / negatives]),
    }


def _worst_of_classes(column: str, by_class: Sequence[Gap]) -> list[Gap]:
    """One line a criterion: the class with the largest difference, its p for the choice among the classes (Bonferroni)."""
    out = []
    for criterion in CRITERIA:
        own = [g for g in by_class if g.metric.startswith(f"{criterion}:") and math.isfinite(g.difference)]
        if own:
            top = max(own, key=lambda g: g.difference)
            out.append(Gap(**{**vars(top), "metric": criterion, "p": min(1.0, top.p * len(own))}))
    return out
