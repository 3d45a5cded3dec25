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

from evalsuite.images.features.extract import Features
from evalsuite.images.image_data import families
from evalsuite.images.quality.quality_table import MIN_N
from evalsuite.stats.estimate import Estimate, bootstrap_of, missing
from evalsuite.stats.resampling import Array, Family, of_rows

Labels = NDArray[np.object_]
FOLDS = 5
MEASURES = ("real to real", "synthetic to real", "real to synthetic", "real or synthetic")


def linear() -> Pipeline:
    """Standardised features, L2-regularised multinomial logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.1))


def utility_table(
    real: Features, synthetic: Features, *, max_n: int = 5000, seed: int = 0, resamples: int = 300
) -> pd.DataFrame:
    """Columns family, cell, metric, value, low, high, n, note: one row per measure (`MEASURES`) and cell.

    Each classifier is trained once, on equally many real and synthetic images of every class, and then scored on all
    tested images and on those of each skin type.
    """
    name, records = real.extractor.name, []
    rows = matched_rows(real.frame, synthetic.frame, seed, max_n)
    if len(rows[0]) < MIN_N:
        note = f"{len(rows[0])} real images have a synthetic one of their class"
        return pd.DataFrame(
            {"family": "overall", "cell": "all", "metric": f"{what} [{name}]", **missing(len(rows[0]), note).columns()}
            for what in MEASURES
        )
    for what, tested in zip(MEASURES, _tested(real, synthetic, rows, seed), strict=True):
        for family, cell, part in tested.cells():
            estimate = part.estimate(resamples, seed)
            records.append({"family": family, "cell": cell, "metric": f"{what} [{name}]", **estimate.columns()})
    return pd.DataFrame(records)


@dataclass(frozen=True)
class HeldOut:
    """What a classifier says of images it was not trained on.

    Attributes
    ----------
    statistic
        The score of (truth, found).
    truth, found
        True and found label or score of each image; `found` is None if the classifier could not be trained.
    group, family
        Skin type and family of each image.
    note
        Why `found` is None.
    """

    statistic: Callable[..., float]
    truth: NDArray[Any]
    found: NDArray[Any] | None
    group: Labels
    family: Family
    note: str = ""

    def estimate(self, resamples: int = 300, seed: int = 0) -> Estimate:
        """The score with a percentile bootstrap interval over the families of tested images."""
        if self.found is None:
            return missing(len(self.truth), self.note)
        return bootstrap_of(self.statistic, self.truth, self.found, resamples=resamples, seed=seed, family=self.family)

    def cells(self) -> Iterator[tuple[str, str, HeldOut]]:
        """Family, name and images of each cell: all, and each skin type."""
        yield "overall", "all", self
        for name in sorted({str(g) for g in self.group if g is not None}):
            here = self.group == name
            part = replace(
                self,
                truth=self.truth[here],
                group=self.group[here],
                family=of_rows(self.family, here),
                found=None if self.found is None else self.found[here],
            )
            if here.sum() < MIN_N or len(set(part.truth)) < 2:
                part = replace(part, found=None, note=f"{here.sum()} tested images, or of one class only")
            yield "group", name, part


def _tested(
    real: Features, synthetic: Features, rows: tuple[NDArray[np.intp], NDArray[np.intp]], seed: int
) -> list[HeldOut]:
    """The held-out images of each of `MEASURES`, in their order."""
    a, b = real.frame.iloc[rows[0]], synthetic.frame.iloc[rows[1]]
    x, u, y, v = real.take(rows[0]), synthetic.take(rows[1]), *(f["class"].to_numpy(dtype=object) for f in (a, b))
    groups = [f["group"].to_numpy(dtype=object) for f in (a, b)]
    of = [families(a), families(b, real.frame)]
    return [
        cross_accuracy(x, y, of[0], groups[0]),
        transfer_accuracy(u, v, x, y, groups[0], of[0]),
        transfer_accuracy(x, y, u, v, groups[1], of[1]),
        discriminator(x, u, of[0], of[1], np.concatenate(groups), seed),
    ]


def matched_rows(
    real: pd.DataFrame, synthetic: pd.DataFrame, seed: int = 0, max_n: int = 5000
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both frames, drawn by the seed: equally many of every class, at most `max_n` on each side."""
    rng = np.random.default_rng(seed)
    a, b = [], []
    labels = sorted(set(real["class"]) & set(synthetic["class"]))
    for label in labels:
        i, j = (np.flatnonzero((f["class"] == label).to_numpy(dtype=bool)) for f in (real, synthetic))
        n = min(len(i), len(j), max(1, max_n // len(labels)))
        a.append(np.sort(rng.choice(i, n, replace=False)))
        b.append(np.sort(rng.choice(j, n, replace=False)))
    none = np.zeros(0, dtype=np.intp)
    return np.concatenate([none, *a]), np.concatenate([none, *b])


def transfer_accuracy(x: Array, y: Labels, u: Array, v: Labels, group: Labels, family: Family = None) -> HeldOut:
    """Balanced accuracy on (u, v) of a linear classifier fitted on (x, y)."""
    if len(set(y)) < 2:
        return HeldOut(_balanced, v, None, group, family, "a single class")
    return _classified(v, linear().fit(x, y).predict(u), group, family)


def cross_accuracy(x: Array, y: Labels, family: Labels, group: Labels) -> HeldOut:
    """Balanced accuracy by cross-validation over families: the reference for the other directions."""
    if len(set(y)) < 2 or len(set(family)) < FOLDS:
        return HeldOut(_balanced, y, None, group, family, "a single class or too few families")
    predicted = np.empty(len(y), dtype=object)
    for fit, test in GroupKFold(FOLDS).split(x, y, family):
        if len(set(y[fit])) < 2:
            return HeldOut(_balanced, y, None, group, family, "a fold holds a single class")
        predicted[test] = linear().fit(x[fit], y[fit]).predict(x[test])
    return _classified(y, predicted, group, family)


def _classified(truth: Labels, predicted: Labels, group: Labels, family: Family) -> HeldOut:
    """Labels become numbers first, because resampling compares them thousands of times."""
    codes = np.unique(np.concatenate([truth, predicted]).astype(str), return_inverse=True)[1]
    return HeldOut(_balanced, codes[: len(truth)], codes[len(truth) :], group, family)


def discriminator(
    real: Array, synthetic: Array, real_family: Labels, synthetic_family: Labels, group: Labels, seed: int = 0
) -> HeldOut:
    """AUC of telling real from synthetic, cross-validated over families; 0.5: they cannot be told apart.

    A real image and the images made from it are one family, so no classifier is trained on a tested image's parent.
    """
    x = np.concatenate([real, synthetic])
    y = np.r_[np.zeros(len(real), dtype=int), np.ones(len(synthetic), dtype=int)]
    family = np.concatenate([real_family, synthetic_family])
    if len(set(real_family)) < FOLDS:
        return HeldOut(_auc, y, None, group, family, "too few families")
    score = np.empty(len(y))
    for fit, test in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, y, family):
        if len(set(y[fit])) < 2:
            return HeldOut(_auc, y, None, group, family, "a fold holds one side only")
        score[test] = linear().fit(x[fit], y[fit]).predict_proba(x[test])[:, 1]
    return HeldOut(_auc, y, score, group, family)


def _balanced(y: NDArray[np.intp], predicted: NDArray[np.intp]) -> float:
    count = np.bincount(y)
    return float(np.mean((np.bincount(y, predicted == y) / np.maximum(count, 1))[count > 0]))


def _auc(y: NDArray[np.int_], score: Array) -> float:
    return float(roc_auc_score(y, score)) if 0 < y.sum() < len(y) else float("nan")
