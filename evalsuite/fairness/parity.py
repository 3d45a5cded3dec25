"""Demographic parity, equal opportunity, equalised odds: fairlearn's values, with an interval and a null gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from numpy.typing import NDArray

from evalsuite.fairness import metrics
from evalsuite.fairness.card import Gap
from evalsuite.fairness.metrics import Scored, Values
from evalsuite.stats import hypothesis_tests, intervals

RATES = {"selection": selection_rate, "sensitivity": true_positive_rate, "false positives": false_positive_rate}
CRITERIA = {
    "demographic_parity": ("selection",),
    "equal_opportunity": ("sensitivity",),
    "equalised_odds": ("sensitivity", "false positives"),
}


def gaps(
    column: str,
    names: Sequence[str],
    cells: Sequence[Scored],
    samples: Sequence[Values],
    null: Sequence[Values],
    least: int,
    confidence: float,
) -> list[Gap]:
    """The three criteria for each class one-vs-rest.

    Groups with fewer than `least` rows of the class or of the others are left out: fairlearn calls the true positive
    rate of a group without positives 0, which makes it the worst group.
    """
    out: list[Gap] = []
    nulls: dict[str, list[NDArray[np.floating]]] = {name: [] for name in CRITERIA}
    for index, cls in enumerate(cells[0].classes):
        counts = [int((c.labels == index).sum()) for c in cells]
        used = [i for i, c in enumerate(cells) if min(counts[i], len(c.labels) - counts[i]) >= least]
        if len(used) < 2:
            continue
        frame = _frame(index, [cells[i] for i in used])
        differences, ratios = frame.difference(), frame.ratio()
        values = [metrics.evaluate(cell, ranked=False) for cell in cells]
        left_out = tuple(n for i, n in enumerate(names) if i not in used)
        for criterion, compared in CRITERIA.items():
            value = float(differences[list(compared)].max())
            rates = _rates(criterion, cls, values, used)[:, :, 0]
            shuffled = _spread(_rates(criterion, cls, null, used))
            nulls[criterion].append(shuffled)
            widest = int(np.argmax(np.ptp(rates, axis=1)))
            order = np.argsort(-rates[1] if widest == 1 else rates[widest])  # false positives: more is worse
            worst, best = int(order[0]), int(order[-1])
            out.append(
                Gap(
                    column,
                    f"{criterion}:{cls}",
                    value,
                    *intervals.spread_interval(rates, _rates(criterion, cls, samples, used), confidence),
                    float(ratios[list(compared)].min()),
                    names[used[worst]],
                    float(rates[widest, worst]),
                    names[used[best]],
                    float(rates[widest, best]),
                    *hypothesis_tests.null_summary(shuffled),
                    hypothesis_tests.permutation_p(value, shuffled),
                    left_out,
                )
            )
    return out + _worst_of_classes(out, nulls)


def _frame(index: int, cells: Sequence[Scored]) -> MetricFrame:
    """fairlearn's rates of one class by group, from the counts of the four outcomes: as good as the rows, and short."""
    table = np.array(
        [
            (truth, called, group, int(((cell.labels == index) == truth)[(cell.predicted == index) == called].sum()))
            for group, cell in enumerate(cells)
            for truth in (0, 1)
            for called in (0, 1)
        ]
    )
    truth, called, group, weight = table[table[:, 3] > 0].T
    return MetricFrame(
        metrics=dict(RATES),
        y_true=truth,
        y_pred=called,
        sensitive_features=group,
        sample_params={name: {"sample_weight": weight} for name in RATES},
    )


def _rates(criterion: str, cls: str, samples: Sequence[Values], used: Sequence[int]) -> NDArray[np.floating]:
    """The rates a criterion compares, [1 or 2, groups, b]."""

    def rate(values: Values, name: str) -> NDArray[np.floating]:
        return 1 - values[f"specificity:{cls}"] if name == "false positives" else values[f"{name}:{cls}"]

    return np.stack([[rate(samples[i], name) for i in used] for name in CRITERIA[criterion]])


def _spread(rates: NDArray[np.floating]) -> NDArray[np.floating]:
    """Largest difference between groups over the rates, [b]."""
    return np.ptp(rates, axis=1).max(axis=0)


def _worst_of_classes(by_class: Sequence[Gap], nulls: Mapping[str, Sequence[NDArray[np.floating]]]) -> list[Gap]:
    """One line a criterion: the class with the largest difference, against the largest of the classes by chance."""
    out = []
    for criterion, null in nulls.items():
        own = [g for g in by_class if g.metric.startswith(f"{criterion}:")]
        if own:
            top, largest = max(own, key=lambda g: g.difference), np.max(null, axis=0)
            mean, p95 = hypothesis_tests.null_summary(largest)
            p = hypothesis_tests.permutation_p(top.difference, largest)
            out.append(replace(top, metric=criterion, null_mean=mean, null_p95=p95, p=p))
    return out
