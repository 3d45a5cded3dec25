"""Every metric of the card as a function of row weights: survey weights, or ones.

`Scored` holds what depends on the rows alone; `evaluate` takes sets of weights [rows, sets] and gives, for each metric,
an array [sets]. Values are scikit-learn's with the same sample weights, to 1e-9. Undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.stats import calibration

Values = dict[MetricKey, NDArray[np.floating]]


@dataclass(frozen=True)
class Scored:
    """The rows of one cell, prepared.

    Attributes
    ----------
    classes
        Names, k.
    labels, predicted
        Class index of each row, int [n].
    probs
        [n, k].
    confidence
        Largest probability of each row.
    bins
        Calibration bin of each row.
    above
        1 where the probability of a class reaches its threshold, else 0, by kind of threshold, [n, k]; NaN where there
        is no threshold.
    weights
        Survey or sampling weights, [n]; None where each row counts once.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probs: NDArray[np.floating]
    confidence: NDArray[np.floating]
    bins: NDArray[np.int64]
    above: Mapping[str, NDArray[np.floating]]
    weights: NDArray[np.floating] | None = None

    @property
    def row_weights(self) -> NDArray[np.floating]:
        """The weights, or ones, [n]."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights

    @property
    def correct(self) -> NDArray[np.bool_]:
        return np.asarray(self.labels == self.predicted)


def score(
    probs: NDArray[np.floating],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    above: Mapping[str, NDArray[np.floating]] | None = None,
    weights: NDArray[np.floating] | None = None,
    called: NDArray[np.int64] | None = None,
) -> Scored:
    """Prepare rows for `evaluate`; called: the predicted class, else the likeliest, the first of equal ones."""
    confidence = probs.max(axis=1)
    return Scored(
        classes,
        labels,
        probs.argmax(axis=1) if called is None else called,
        probs,
        confidence,
        calibration.equal_mass_bins(confidence),
        above or {},
        weights,
    )


def evaluate(rows: Scored, weights: NDArray[np.floating] | None = None, *, ranked: bool = True) -> Values:
    """All metrics under weights [n, b] (None: those of the rows, else ones; b = 1), each [b].

    Keys as text: accuracy, top3, balanced_accuracy, macro_f1, brier, ece (bias removed), ece_plugin, auroc and auprc
    (macro over the classes that are defined), `sensitivity:<class>`, `specificity:<class>`, `selection:<class>`
    (share predicted), `auroc:<class>`, `auprc:<class>`, and for each kind of threshold in `above`,
    `sensitivity@<kind>` (macro), `sensitivity@<kind>:<class>` and `specificity@<kind>:<class>`.

    Parameters
    ----------
    ranked
        Whether to compute AUROC and AUPRC, the costly part.
    """
    w = rows.row_weights[:, None] if weights is None else weights
    values = _counted(rows, w)
    if ranked:
        values |= _ranked(rows, w)
    return values


def one(rows: Scored, *, ranked: bool = True) -> dict[MetricKey, float]:
    """The values under the rows' own weights; see `evaluate`."""
    return {name: float(v[0]) for name, v in evaluate(rows, ranked=ranked).items()}


def require(metric: MetricKey, rows: Scored, *, higher_is_better: bool = False) -> None:
    """Refuse a metric that rows alone do not give (thresholds and fits need more), or whose sign is not as asked.

    Raises
    ------
    UserError
        Names those that can be used.
    """
    usable = [m for m in one(rows) if m.shown and not (higher_is_better and m.lower_is_better)]
    if metric not in usable:
        names = ", ".join(map(str, usable))
        raise UserError(f"metric {str(metric)!r} cannot be compared here; expected one of {names}")


def counts_rows(metric: MetricKey) -> bool:
    """Whether it is one share of rows or one ranking, and not a mean over classes."""
    return bool(metric.cls) or metric.kind in ("accuracy", "top3")


def hits(metric: MetricKey, rows: Scored) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """A proportion taken apart: 1 or 0 for each row that counts, and which rows those are."""
    if metric.kind == "accuracy":
        return rows.correct.astype(np.float64), np.arange(len(rows.labels))
    if metric.kind == "top3":
        return _in_top(rows, 3), np.arange(len(rows.labels))
    index = rows.classes.index(metric.cls)
    if metric.kind == "selection":
        return (rows.predicted == index).astype(np.float64), np.arange(len(rows.labels))
    called = rows.above[metric.threshold][:, index] if metric.threshold else rows.predicted == index
    positive = rows.labels == index
    used = np.flatnonzero(positive if metric.kind == "sensitivity" else ~positive)
    right = called if metric.kind == "sensitivity" else 1.0 - called
    return right[used].astype(np.float64), used


def squared_errors(rows: Scored) -> NDArray[np.floating]:
    """What each row adds to the Brier score, [n]: from 0 to 1 for two classes, as scikit-learn has it, else to 2."""
    errors = ((rows.probs - np.eye(len(rows.classes))[rows.labels]) ** 2).sum(axis=1)
    return np.asarray(errors / brier_scale(rows))


def brier_scale(rows: Scored) -> float:
    """2 for two classes, where both squared errors are the same one; else 1."""
    return 2.0 if len(rows.classes) == 2 else 1.0


def macro_f1_influence(rows: Scored) -> NDArray[np.floating]:
    """Influence of each row on the macro F1, [n], by its derivatives; the rows of a class sum to 0."""
    k, w = len(rows.classes), rows.row_weights
    is_label, is_predicted = np.eye(k)[rows.labels], np.eye(k)[rows.predicted]
    hit = is_label * is_predicted
    both = w @ (is_label + is_predicted)
    defined = both > 0
    f1 = 2 * (w @ hit) / np.where(defined, both, 1)
    parts = (2 * hit - f1 * (is_label + is_predicted)) / np.where(defined, both, 1)
    whole = parts[:, defined].sum(axis=1) / defined.sum()
    return within_labels(whole, rows)


def within_labels(values: NDArray[np.floating], rows: Scored) -> NDArray[np.floating]:
    """Weighted deviations of values from their mean within the label, [n]: those of a label sum to 0."""
    w, k = rows.row_weights, len(rows.classes)
    total = np.bincount(rows.labels, weights=w, minlength=k)
    mean = np.bincount(rows.labels, weights=w * values, minlength=k) / np.where(total > 0, total, 1)
    return np.asarray(w * (values - mean[rows.labels]))


def _counted(rows: Scored, w: NDArray[np.floating]) -> Values:
    """Metrics that are ratios of weighted counts: one matrix product, then arithmetic."""
    k = len(rows.classes)
    is_label = np.eye(k)[rows.labels]
    is_predicted = np.eye(k)[rows.predicted]
    in_bin = np.eye(int(rows.bins.max(initial=0)) + 1)[rows.bins]
    blocks: dict[str, NDArray[np.floating]] = {
        "rows": np.ones((len(rows.labels), 1)),
        "top3": _in_top(rows, 3)[:, None],
        "brier": squared_errors(rows)[:, None],
        "label": is_label,
        "predicted": is_predicted,
        "hit": is_label * is_predicted,
        "bin": in_bin,
        "bin_confidence": in_bin * rows.confidence[:, None],
        "bin_hit": in_bin * rows.correct[:, None],
    }
    for threshold, above in rows.above.items():
        blocks[f"above {threshold}"] = above
        blocks[f"hit {threshold}"] = above * is_label
    sums = np.concatenate(list(blocks.values()), axis=1).T @ w
    edges = np.cumsum([0, *(b.shape[1] for b in blocks.values())])
    s = {name: sums[a:b] for name, a, b in zip(blocks, edges[:-1], edges[1:], strict=True)}

    total = s["rows"][0]
    plugin, corrected = calibration.ece(s["bin"], s["bin_confidence"], s["bin_hit"])
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = s["hit"] / s["label"]
        specificity = 1 - (s["predicted"] - s["hit"]) / (total - s["label"])
        whole = {
            "accuracy": s["hit"].sum(axis=0) / total,
            "balanced_accuracy": _mean_defined(sensitivity),
            "macro_f1": _mean_defined(2 * s["hit"] / (s["label"] + s["predicted"])),
            "brier": s["brier"][0] / total,
            "ece": corrected,
            "ece_plugin": plugin,
        }
        if k > 3:
            whole["top3"] = s["top3"][0] / total
        values: Values = {MetricKey(kind): value for kind, value in whole.items()}
        values |= _by_class(MetricKey("selection"), rows.classes, s["predicted"] / total)
        values |= _by_class(MetricKey("sensitivity"), rows.classes, sensitivity)
        values |= _by_class(MetricKey("specificity"), rows.classes, specificity)
        for threshold in rows.above:
            reached = s[f"hit {threshold}"] / s["label"]
            false = (s[f"above {threshold}"] - s[f"hit {threshold}"]) / (total - s["label"])
            key = MetricKey("sensitivity", threshold)
            # a class without a threshold leaves no mean: that of the other classes would be another number
            lacking = ((s["label"] > 0) & np.isnan(reached)).any(axis=0)
            if threshold != "sens":  # there every sensitivity is the one that was fixed
                values |= {key: np.where(lacking, np.nan, _mean_defined(reached))}
            values |= _by_class(key, rows.classes, reached)
            values |= _by_class(MetricKey("specificity", threshold), rows.classes, 1 - false)
    return values


def _ranked(rows: Scored, w: NDArray[np.floating]) -> Values:
    """One-vs-rest AUROC and average precision of each class and their means over the defined classes."""
    by_set = np.ascontiguousarray(w.T)
    total = w.sum(axis=0, dtype=np.float64)
    pairs = [_rank_one(rows.probs[:, index], rows.labels == index, by_set, total) for index in range(len(rows.classes))]
    auroc, auprc = np.stack([a for a, _ in pairs]), np.stack([p for _, p in pairs])
    keys = MetricKey("auroc"), MetricKey("auprc")
    values: Values = {keys[0]: _mean_defined(auroc), keys[1]: _mean_defined(auprc)}
    return values | _by_class(keys[0], rows.classes, auroc) | _by_class(keys[1], rows.classes, auprc)


def _rank_one(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], w: NDArray[np.floating], total: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """AUROC and average precision under weights [b, n], ties as scikit-learn treats them.

    Only the positives are visited: for each, the weight of rows scored above it and level with it. Sums between
    the positives are taken in one pass, which is several times faster than a running sum over all rows.
    """
    if not positive.any():
        return np.full(len(w), np.nan), np.full(len(w), np.nan)
    order = np.argsort(-scores, kind="stable")
    descending, is_positive = -scores[order], positive[order]
    first = np.searchsorted(descending, descending[is_positive], side="left")
    after = np.searchsorted(descending, descending[is_positive], side="right")
    w, ranks = w[:, order], np.r_[0, np.cumsum(is_positive)]
    own = w[:, is_positive]
    level, true_level = _sums_up_to(w, after), _sums_up_to(own, ranks[after])
    false = level - true_level
    if (after - first > 1).any():  # negatives above, and half of those level
        false = (false + _sums_up_to(w, first) - _sums_up_to(own, ranks[first])) / 2
    positives = own.sum(axis=1, dtype=np.float64)
    negatives = total - positives
    with np.errstate(invalid="ignore", divide="ignore"):
        area = 1 - np.einsum("bm,bm->b", own, false) / (positives * negatives)
        precision = np.where(own > 0, own * true_level / level, 0.0).sum(axis=1) / positives
    return np.where(negatives > 1e-6 * total, area, np.nan), precision


def _sums_up_to(w: NDArray[np.floating], ends: NDArray[np.int64]) -> NDArray[np.floating]:
    """Sums of the first `ends` columns, ascending, [b, n] and [m] -> [b, m]."""
    cuts, place = np.unique(ends, return_inverse=True)
    starts = np.r_[0, cuts[(cuts > 0) & (cuts < w.shape[1])]]
    running = np.cumsum(np.add.reduceat(w, starts, axis=1), axis=1)
    if cuts[0] == 0:
        running = np.concatenate([np.zeros((len(w), 1)), running], axis=1)
    return running[:, : len(cuts)] if len(cuts) == len(ends) else running[:, place]


def _in_top(rows: Scored, k: int) -> NDArray[np.floating]:
    """Whether the label is among the k likeliest; of equal ones the later class comes first, as in scikit-learn."""
    own = rows.probs[np.arange(len(rows.labels)), rows.labels][:, None]
    later = np.arange(rows.probs.shape[1])[None, :] > rows.labels[:, None]
    ahead = (rows.probs > own) | ((rows.probs == own) & later)
    return np.asarray((ahead.sum(axis=1) < k).astype(np.float64))


def _mean_defined(by_class: NDArray[np.floating]) -> NDArray[np.floating]:
    """Mean over the classes that are defined, [k, b] -> [b]; NaN where none is."""
    defined = np.isfinite(by_class)
    count = defined.sum(axis=0)
    return np.where(count > 0, np.where(defined, by_class, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _by_class(key: MetricKey, classes: tuple[str, ...], values: NDArray[np.floating]) -> Values:
    return {key._replace(cls=c): v for c, v in zip(classes, values, strict=True)}
