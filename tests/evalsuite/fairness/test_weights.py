"""Survey and sampling weights: a row of weight 2 is two rows to the value, and no more certain than one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from evalsuite import selfcheck
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compare_models import compare
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import Predictions

SETTINGS = CardSettings(intersections=False)


def table(seed: int = 0, n: int = 150) -> Predictions:
    return selfcheck.table([selfcheck.Group("I", n, 0.8), selfcheck.Group("V", n, 0.7)], seed)


def test_equal_weights_change_nothing() -> None:
    """Of any size: values, intervals and gaps are those without, but for what has no weighted interval."""
    plain = compute_card(table(), ["fst"], SETTINGS)
    weighted = compute_card(replace(table(), weights=np.full(300, 3.0)), ["fst"], SETTINGS)
    left_out = {str(m) for m in plain.row().metrics} - {str(m) for m in weighted.row().metrics}
    assert {name.partition(":")[0] for name in left_out} == {
        "auprc",
        "ece",
        "calibration_slope",
        "calibration_intercept",
    }
    for one, other in zip(plain.rows, weighted.rows, strict=True):
        for key, found in other.metrics.items():
            assert found.value == pytest.approx(one[key].value, abs=1e-9), key
            width, usual = found.high - found.low, one[key].high - one[key].low
            assert width == pytest.approx(usual, rel=0.06), key
    assert weighted.gap("fst").p == pytest.approx(plain.gap("fst").p, abs=0.02)


def test_values_are_scikit_learns() -> None:
    """Accuracy, balanced accuracy, macro F1 and AUROC with sample weights."""
    own, w = table(1), np.random.default_rng(1).uniform(0.2, 5, 300)
    row, call = compute_card(replace(own, weights=w), ["fst"], SETTINGS).row(), own.probs.argmax(axis=1)
    assert row["accuracy"].value == pytest.approx(sk.accuracy_score(own.labels, call, sample_weight=w))
    balanced = sk.balanced_accuracy_score(own.labels, call, sample_weight=w)
    assert row["balanced_accuracy"].value == pytest.approx(balanced)
    assert row["macro_f1"].value == pytest.approx(sk.f1_score(own.labels, call, average="macro", sample_weight=w))
    area = sk.roc_auc_score(own.labels == 0, own.probs[:, 0], sample_weight=w)
    assert row[f"auroc:{own.classes[0]}"].value == pytest.approx(area)


def test_unequal_weights_are_less_certain() -> None:
    """A hundred rows with weights from 1 to 20 count as fewer (Kish 1965), for a gap as well."""
    own, w = table(2), np.where(np.arange(300) % 10 == 0, 20.0, 1.0)
    plain, weighted = (compute_card(one, ["fst"], SETTINGS) for one in (own, replace(own, weights=w)))
    for metric in ("accuracy", "balanced_accuracy", "macro_f1", "brier", "auroc"):
        wide, usual = (c.row()[metric].high - c.row()[metric].low for c in (weighted, plain))
        assert wide > 1.3 * usual, metric
    assert weighted.gap("fst").detectable > 1.3 * plain.gap("fst").detectable


def test_weighted_shares_are_covered() -> None:
    """A sample that takes hard images five times as often, weighted back: 95 % hold the population's accuracy."""
    rng, held, times = np.random.default_rng(3), 0, 400
    for _ in range(times):
        hard = rng.random(300) < 0.5  # one in six of the population
        right = rng.random(300) < np.where(hard, 0.5, 0.9)
        labels = rng.integers(0, 2, 300)
        called = np.where(right, labels, 1 - labels)
        own = replace(
            table(),
            classes=("a", "b"),
            labels=labels,
            probs=np.where(called[:, None] == np.arange(2), 0.8, 0.2),
            weights=np.where(hard, 1.0, 5.0),
        )
        found = compute_card(own, ["fst"], SETTINGS).row()["accuracy"]
        held += found.low <= (0.5 + 5 * 0.9) / 6 <= found.high
    assert 0.92 <= held / times <= 0.98


def test_a_weighted_comparison() -> None:
    """The change is the weighted one, and its interval wider."""
    a, b, w = table(4), table(5), np.where(np.arange(300) % 10 == 0, 20.0, 1.0)
    b = replace(a, probs=b.probs)
    for metric in ("accuracy", "balanced_accuracy", "macro_f1", "auroc"):
        plain = compare(a, b, ["fst"], SETTINGS, metric=metric).changes[0]
        weighted = compare(a, replace(b, weights=w), ["fst"], SETTINGS, metric=metric).changes[0]
        assert weighted.high - weighted.low > 1.2 * (plain.high - plain.low), metric
        assert weighted.low <= weighted.b - weighted.a <= weighted.high
