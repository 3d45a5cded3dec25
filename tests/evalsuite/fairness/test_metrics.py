"""Every number shared with scikit-learn agrees to 1e-9, with and without weights, with and without ties."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from evalsuite.fairness import metrics
from evalsuite.fairness.metric_key import MetricKey

CLASSES = ("a", "b", "c", "d", "e")


def draw(seed: int, n: int, k: int, decimals: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += 1
    p = np.exp(logits)
    return np.round(p / p.sum(axis=1, keepdims=True), decimals), y


def brier(p: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """scikit-learn's own for two classes, which counts each error once; over more classes the errors are summed."""
    if p.shape[1] == 2:
        return float(sk.brier_score_loss(y, p[:, 1], sample_weight=w, pos_label=1))
    return float(np.average(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1), weights=w))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 5), st.sampled_from([1, 2, 12]))
def test_agrees_with_scikit_learn(seed: int, n: int, k: int, decimals: int) -> None:
    """A value and a weighted value are scikit-learn's."""
    p, y = draw(seed, n, k, decimals)
    integers = np.random.default_rng(seed).integers(0, 3, n).astype(float)
    found = metrics.evaluate(metrics.score(p, y, CLASSES[:k]), np.stack([np.ones(n), integers], axis=1))
    call = p.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for column, w in enumerate((np.ones(n), integers)):
            if not w.any():
                continue
            pairs = [("accuracy", sk.accuracy_score(y, call, sample_weight=w))]
            used = np.union1d(y[w > 0], call[w > 0])
            pairs.append(("macro_f1", sk.f1_score(y, call, labels=used, average="macro", sample_weight=w)))
            pairs.append(("brier", brier(p, y, w)))
            drawn = w > 0
            balanced = sk.balanced_accuracy_score(y[drawn], call[drawn], sample_weight=w[drawn])
            pairs.append(("balanced_accuracy", balanced))
            if k > 3:
                pairs.append(("top3", sk.top_k_accuracy_score(y, p, k=3, labels=range(k), sample_weight=w)))
            for index in range(k):
                positive, name = y == index, CLASSES[index]
                if (w[positive] > 0).any():
                    pairs.append((f"sensitivity:{name}", sk.recall_score(positive, call == index, sample_weight=w)))
                    pairs.append((f"auprc:{name}", sk.average_precision_score(positive, p[:, index], sample_weight=w)))
                if (w[~positive] > 0).any():
                    pairs.append((f"specificity:{name}", sk.recall_score(~positive, call != index, sample_weight=w)))
                if (w[positive] > 0).any() and (w[~positive] > 0).any():
                    pairs.append((f"auroc:{name}", sk.roc_auc_score(positive, p[:, index], sample_weight=w)))
            for name, expected in pairs:
                assert found[MetricKey.parse(name)][column] == pytest.approx(expected, abs=1e-9), name


def test_macro_auroc_is_scikit_learns() -> None:
    """The mean over classes, one against the rest."""
    p, y = draw(1, 200, 4, 15)
    p /= p.sum(axis=1, keepdims=True)
    value = metrics.one(metrics.score(p, y, CLASSES[:4]))[MetricKey("auroc")]
    assert value == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"), abs=1e-9)


def test_undefined_is_nan_not_zero() -> None:
    """A class without rows has no sensitivity and no AUROC, and leaves the means alone."""
    p, y = draw(2, 30, 3, 12)
    y[y == 2] = 1
    values = {str(key): value for key, value in metrics.one(metrics.score(p, y, CLASSES[:3])).items()}
    assert np.isnan(values["sensitivity:c"])
    assert np.isnan(values["auroc:c"])
    assert np.isnan(values["auprc:c"])
    assert values["auroc"] == pytest.approx((values["auroc:a"] + values["auroc:b"]) / 2)


def test_weights_of_two_are_rows_twice() -> None:
    """A weighted table is the table with its rows repeated, whatever the metric but the binned ones."""
    p, y = draw(3, 80, 4, 2)
    counts = np.random.default_rng(0).integers(0, 4, 80)
    rows = metrics.score(p, y, CLASSES[:4], {"global": (p > 0.4).astype(float)})
    repeated = np.repeat(np.arange(80), counts)
    above = {"global": (p[repeated] > 0.4).astype(float)}
    again = metrics.one(metrics.score(p[repeated], y[repeated], CLASSES[:4], above))
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 2e-5)):
        weighted = metrics.evaluate(rows, counts[:, None].astype(dtype))
        for name, expected in again.items():
            if name.kind not in ("ece", "ece_plugin"):
                assert weighted[name][0] == pytest.approx(expected, abs=tolerance, nan_ok=True), name


def test_hits_are_the_proportion_taken_apart() -> None:
    """Wilson's counts belong to the value that stands beside them."""
    p, y = draw(4, 60, 5, 3)
    rows = metrics.score(p, y, CLASSES, {"global": (p > 0.3).astype(float)})
    for name, value in metrics.one(rows).items():
        if name.kind in ("accuracy", "top3") or (name.kind in ("sensitivity", "specificity") and name.cls):
            hits, used = metrics.hits(name, rows)
            assert hits.mean() == pytest.approx(value, abs=1e-12)
            assert len(hits) == len(used)
