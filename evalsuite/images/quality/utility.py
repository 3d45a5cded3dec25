"""Scores of linear classifiers on fixed features: do the classes carry over, can real and synthetic be told apart?

Classification accuracy scores (Ravuri & Vinyals 2019) in both directions, and a real-or-synthetic classifier
(C2ST, Lopez-Paz & Oquab 2017). The full study trains networks; this takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from dermforge.common.skin_tone import in_order
from evalsuite.images.features.extract import Features
from evalsuite.images.image_data import families
from evalsuite.images.quality.quality_table import MIN_N
from evalsuite.stats.estimate import Estimate, bootstrap_of, missing
from evalsuite.stats.resampling import Array

Labels = NDArray[np.object_]
FOLDS = 5
TOO_FEW = "too few families, or a single class among those of a fold"
MEASURES = ("real to real", "synthetic to real", "real to synthetic", "real or synthetic")


def linear() -> Pipeline:
    """Standardised features, L2-regularised multinomial logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.1))


@dataclass(frozen=True)
class Side:
    """Real or synthetic images: features [n, d], and class, skin type and family of each."""

    x: Array
    label: Labels
    group: Labels
    family: Labels


@dataclass(frozen=True)
class HeldOut:
    """What a classifier says of images it was not trained on."""

    statistic: Callable[..., float]  # the score of (truth, found)
    truth: NDArray[Any]
    found: NDArray[Any] | None  # label or score of each image; None if the classifier could not be trained
    group: Labels
    family: Labels
    note: str = ""  # why `found` is None

    def estimate(self, resamples: int = 300, seed: int = 0) -> Estimate:
        """The score with a percentile bootstrap interval over the families of tested images."""
        if self.found is None:
            return missing(len(self.truth), self.note)
        return bootstrap_of(self.statistic, self.truth, self.found, resamples=resamples, seed=seed, family=self.family)

    def cells(self) -> Iterator[tuple[str, str, HeldOut]]:
        """Family, name and images of each cell: all, and each skin type."""
        yield "overall", "all", self
        for name in in_order({str(g) for g in self.group if g is not None}):
            here = self.group == name
            truth, found = self.truth[here], None if self.found is None else self.found[here]
            part = replace(self, truth=truth, found=found, group=self.group[here], family=self.family[here])
            if here.sum() < MIN_N or len(set(truth)) < 2:
                part = replace(part, found=None, note=f"{here.sum()} tested images, or of one class only")
            yield "group", name, part


def utility_table(
    real: Features, synthetic: Features, *, max_n: int = 5000, seed: int = 0, resamples: int = 300
) -> pd.DataFrame:
    """Columns family, cell, metric, value, low, high, n, note: one row per measure (`MEASURES`) and cell.

    Each classifier is trained once, on equally many real and synthetic images of every class, and then scored on all
    tested images and on those of each skin type.
    """
    names, records = [f"{measure} [{real.extractor.name}]" for measure in MEASURES], []
    rows = matched_rows(real.frame, synthetic.frame, seed, max_n)
    n = len(rows[0])
    if n < MIN_N:
        none = missing(n, f"{n} real images have a synthetic one of their class").columns()
        return pd.DataFrame({"family": "overall", "cell": "all", "metric": name, **none} for name in names)
    a, b = (_side(features, some, real.frame) for features, some in zip((real, synthetic), rows, strict=True))
    tested = cross_accuracy(a), transfer_accuracy(b, a), transfer_accuracy(a, b), discriminator(a, b, seed)
    for name, held_out in zip(names, tested, strict=True):
        for family, cell, part in held_out.cells():
            found = part.estimate(resamples, seed).columns()
            records.append({"family": family, "cell": cell, "metric": name, **found})
    return pd.DataFrame(records)


def _side(features: Features, rows: NDArray[np.intp], parents: pd.DataFrame) -> Side:
    frame = features.frame.iloc[rows]
    label, group = (frame[column].to_numpy(dtype=object) for column in ("class", "group"))
    return Side(features.take(rows), label, group, families(frame, parents))


def matched_rows(
    real: pd.DataFrame, synthetic: pd.DataFrame, seed: int = 0, max_n: int = 5000
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both frames, drawn by the seed: equally many of every class, at most `max_n` on each side."""
    rng = np.random.default_rng(seed)
    a, b = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=np.intp)]
    labels = sorted(set(real["class"]) & set(synthetic["class"]))
    for label in labels:
        i, j = (np.flatnonzero((f["class"] == label).to_numpy(dtype=bool)) for f in (real, synthetic))
        n = min(len(i), len(j), max(1, max_n // len(labels)))
        a.append(np.sort(rng.choice(i, n, replace=False)))
        b.append(np.sort(rng.choice(j, n, replace=False)))
    return np.concatenate(a), np.concatenate(b)


def transfer_accuracy(train: Side, test: Side) -> HeldOut:
    """Balanced accuracy on one side of a linear classifier trained on the other."""
    if len(set(train.label)) < 2:
        return HeldOut(_balanced, test.label, None, test.group, test.family, "a single class")
    return _classified(test, linear().fit(train.x, train.label).predict(test.x))


def cross_accuracy(side: Side) -> HeldOut:
    """Balanced accuracy by cross-validation over families: the reference for the other directions."""
    found = _out_of_fold(side.x, side.label, side.family, GroupKFold(FOLDS), lambda model, x: model.predict(x))
    if found is None:
        return HeldOut(_balanced, side.label, None, side.group, side.family, TOO_FEW)
    return _classified(side, found)


def _classified(side: Side, predicted: Labels) -> HeldOut:
    """Labels become numbers first, because resampling compares them thousands of times."""
    codes = np.unique(np.concatenate([side.label, predicted]).astype(str), return_inverse=True)[1]
    return HeldOut(_balanced, codes[: len(predicted)], codes[len(predicted) :], side.group, side.family)


def discriminator(real: Side, synthetic: Side, seed: int = 0) -> HeldOut:
    """AUC of telling real from synthetic, cross-validated over families; 0.5: they cannot be told apart.

    A real image and the images made from it are one family, so no classifier is trained on a tested image's parent.
    """
    x, group, family = (np.concatenate([getattr(s, k) for s in (real, synthetic)]) for k in ("x", "group", "family"))
    y, folds = np.repeat([0, 1], [len(real.x), len(synthetic.x)]), GroupKFold(FOLDS, shuffle=True, random_state=seed)
    found = None
    if len(set(real.family)) >= FOLDS:
        found = _out_of_fold(x, y, family, folds, lambda model, x: model.predict_proba(x)[:, 1])
    return HeldOut(_auc, y, found, group, family, TOO_FEW)


def _out_of_fold(
    x: Array, y: NDArray[Any], family: Labels, folds: GroupKFold, predict: Callable[[Pipeline, Array], NDArray[Any]]
) -> NDArray[Any] | None:
    """What a classifier of the other folds says of each row; None where these have a single class or are too few."""
    if len(set(family)) < FOLDS:
        return None
    out: list[tuple[NDArray[np.intp], NDArray[Any]]] = []
    for fit, test in folds.split(x, y, family):
        if len(set(y[fit])) < 2:
            return None
        out.append((test, predict(linear().fit(x[fit], y[fit]), x[test])))
    rows, found = (np.concatenate(part) for part in zip(*out, strict=True))
    return found[np.argsort(rows)]


def _balanced(y: NDArray[np.intp], predicted: NDArray[np.intp]) -> float:
    count = np.bincount(y)
    return float(np.mean((np.bincount(y, predicted == y) / np.maximum(count, 1))[count > 0]))


def _auc(y: NDArray[np.int_], score: Array) -> float:
    return float(roc_auc_score(y, score)) if 0 < y.sum() < len(y) else float("nan")
