"""What a study measures: a share of hits, its mean over classes, the sensitivity of one class, or an AUROC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import Predictions
from evalsuite.study.names import Metric

Array = NDArray[np.float64]
SENSITIVITY = "sensitivity:"


def is_outcome(metric: Metric) -> bool:
    """Whether it is one of the outcomes; which classes there are is not known here."""
    return metric in ("accuracy", "balanced_accuracy", "auroc") or bool(class_of(metric))


def class_of(metric: Metric) -> str:
    """The class of a sensitivity; else empty."""
    return metric.removeprefix(SENSITIVITY) if metric.startswith(SENSITIVITY) else ""


def in_words(metric: Metric) -> str:
    """As a page calls it."""
    if class_of(metric):
        return f"sensitivity of {class_of(metric)}"
    return "AUROC (mean over classes)" if metric == "auroc" else metric.replace("_", " ")


def check_class(metric: Metric, classes: Sequence[str]) -> None:
    """Refuse the sensitivity of a class that there is not.

    Raises
    ------
    UserError
        Names the classes.
    """
    if class_of(metric) and class_of(metric) not in classes:
        raise UserError(f"the outcome {metric} names no class of the real images, which are {', '.join(classes)}")


def counted(metric: Metric, test: Predictions) -> NDArray[np.bool_]:
    """The test items that the outcome uses, [n]: those of its class for a sensitivity, else all."""
    check_class(metric, test.classes)
    name = class_of(metric)
    return test.labels == test.classes.index(name) if name else np.ones(test.n, dtype=bool)


def outcome(table: Predictions, like: Predictions, metric: Metric) -> Array:
    """What an arm predicts for each item of `like`: whether it is right, [n]; for AUROC the probabilities, [n, k].

    Raises
    ------
    UserError
        The tables are of different test sets.
    """
    if not np.array_equal(table.ids, like.ids) or not np.array_equal(table.labels, like.labels):
        raise UserError(f"{table.source} and {like.source} are of different test images; run the study again")
    if metric == "auroc":
        return np.asarray(table.probs, np.float64)
    return np.asarray(table.probs.argmax(axis=1) == table.labels, np.float64)


def weighted_score(values: Array, weights: Array, labels: NDArray[np.int64], metric: Metric, classes: int) -> Array:
    """The score of one arm of one seed under each of b sets of weights, [b].

    Parameters
    ----------
    values
        What `outcome` gives, [n] or [n, k].
    weights
        [n, b].
    """
    with np.errstate(invalid="ignore"):  # a class or a group without items is undefined
        if metric not in ("balanced_accuracy", "auroc"):
            return np.asarray(values @ weights / weights.sum(axis=0))
        present = [label for label in range(classes) if (labels == label).any()]
        if metric == "auroc":
            parts = [auroc(values[:, c], labels == c, weights) for c in present if len(present) > 1]
        else:
            parts = [_share(values, weights, labels == c) for c in present]
    return np.asarray(np.mean(parts, axis=0)) if parts else np.full(weights.shape[1], np.nan)


def _share(hits: Array, weights: Array, here: NDArray[np.bool_]) -> Array:
    return np.asarray(hits[here] @ weights[here] / weights[here].sum(axis=0))


def auroc(scores: Array, positive: NDArray[np.bool_], weights: Array) -> Array:
    """Area under the ROC curve of weighted items, ties counted half (Hanley & McNeil 1982), [b].

    Parameters
    ----------
    scores, positive
        [n].
    weights
        [n, b]; equal weights give scikit-learn's `roc_auc_score`.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    found, missed = (
        np.add.reduceat(np.where(of[order, None], weights[order], 0.0), starts, axis=0) for of in (positive, ~positive)
    )
    below = np.cumsum(missed, axis=0) - missed / 2
    return np.asarray((found * below).sum(axis=0) / (found.sum(axis=0) * missed.sum(axis=0)))
