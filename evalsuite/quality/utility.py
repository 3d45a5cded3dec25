"""What a linear classifier on fixed features says: do the classes carry over, can the sets be told apart?

Classification accuracy scores (Ravuri & Vinyals 2019) in both directions; a real-or-synthetic classifier
(C2ST, Lopez-Paz & Oquab 2017). The full study trains networks; this takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from evalsuite.quality.estimate import Array, Estimate, bootstrap_of, missing
from evalsuite.quality.features import Features

Labels = NDArray[np.object_]
FOLDS = 5


def linear() -> Pipeline:
    """Standardised features, L2-regularised multinomial logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.1))


def utility_table(
    real: Features, synthetic: Features, *, min_n: int = 20, seed: int = 0, resamples: int = 300
) -> pd.DataFrame:
    """Rows metric, value, low, high, n, note: accuracy scores of the four train/test pairs and the discriminator."""
    return pd.DataFrame(
        {"metric": name, **vars(estimate)}
        for name, estimate in _measures(real, synthetic, min_n, seed, resamples)
    )


def _measures(
    real: Features, synthetic: Features, min_n: int, seed: int, resamples: int
) -> Iterator[tuple[str, Estimate]]:
    rows_real, rows_synthetic = matched_rows(real.frame, synthetic.frame, seed)
    n, name = len(rows_real), real.extractor.name
    if n < min_n:
        for what in ("real to real", "synthetic to real", "real to synthetic", "real or synthetic"):
            yield f"{what} [{name}]", missing(n, f"{n} real images have a synthetic one of their class")
        return
    x, y = real.take(rows_real), real.frame["class"].to_numpy()[rows_real]
    u, v = synthetic.take(rows_synthetic), synthetic.frame["class"].to_numpy()[rows_synthetic]
    families_x = families(real.frame.iloc[rows_real], "cluster")
    families_u = families(synthetic.frame.iloc[rows_synthetic], "parent")
    yield f"real to real [{name}]", cross_accuracy(x, y, families_x, resamples, seed)
    yield f"synthetic to real [{name}]", transfer_accuracy(u, v, x, y, resamples, seed)
    yield f"real to synthetic [{name}]", transfer_accuracy(x, y, u, v, resamples, seed)
    yield f"real or synthetic [{name}]", discriminator(x, u, families_x, families_u, resamples, seed)


def matched_rows(
    real: pd.DataFrame, synthetic: pd.DataFrame, seed: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both frames with the same number of images of every class, drawn by a seed."""
    rng = np.random.default_rng(seed)
    a, b = [], []
    for label in sorted(set(real["class"]) & set(synthetic["class"])):
        i, j = (np.flatnonzero((f["class"] == label).to_numpy(dtype=bool)) for f in (real, synthetic))
        n = min(len(i), len(j))
        a.append(np.sort(rng.choice(i, n, replace=False)))
        b.append(np.sort(rng.choice(j, n, replace=False)))
    none = np.zeros(0, dtype=np.intp)
    return np.concatenate([none, *a]), np.concatenate([none, *b])


def families(frame: pd.DataFrame, column: str) -> Labels:
    """What must not cross a fold: patient or duplicate family, or the real parent; else the image itself."""
    return frame[column].where(frame[column].notna(), frame["id"]).to_numpy(dtype=object)


def transfer_accuracy(
    x: Array, y: Labels, u: Array, v: Labels, resamples: int = 300, seed: int = 0
) -> Estimate:
    """Balanced accuracy on (u, v) of a linear classifier fitted on (x, y); interval over the tested images."""
    if len(set(y)) < 2:
        return missing(len(y), "a single class")
    predicted = linear().fit(x, y).predict(u)
    return bootstrap_of(_balanced, v, predicted, resamples=resamples, seed=seed)


def cross_accuracy(x: Array, y: Labels, family: Labels, resamples: int = 300, seed: int = 0) -> Estimate:
    """Balanced accuracy by cross-validation over families: what the other directions are compared with."""
    if len(set(y)) < 2 or len(set(family)) < FOLDS:
        return missing(len(y), "a single class or too few families")
    predicted = np.empty(len(y), dtype=object)
    for fit, test in GroupKFold(FOLDS).split(x, y, family):
        predicted[test] = linear().fit(x[fit], y[fit]).predict(x[test])
    return bootstrap_of(_balanced, y, predicted, resamples=resamples, seed=seed)


def discriminator(
    real: Array, synthetic: Array, real_family: Labels, synthetic_family: Labels, resamples: int = 300,
    seed: int = 0,
) -> Estimate:
    """AUC of telling real from synthetic, cross-validated over families; 0.5: cannot be told apart.

    A real image and what was made from it are one family, so that a fold never knows a tested image's parent.
    """
    x = np.concatenate([real, synthetic])
    y = np.r_[np.zeros(len(real), dtype=int), np.ones(len(synthetic), dtype=int)]
    family = np.concatenate([real_family, synthetic_family])
    if len(set(real_family)) < FOLDS:
        return missing(len(x), "too few families")
    score = np.empty(len(y))
    for fit, test in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, y, family):
        if len(set(y[fit])) < 2:
            return missing(len(x), "a fold holds one side only")
        score[test] = linear().fit(x[fit], y[fit]).predict_proba(x[test])[:, 1]
    return bootstrap_of(_auc, y, score, resamples=resamples, seed=seed)


def _balanced(y: Labels, predicted: Labels) -> float:
    return float(np.mean([(predicted[y == label] == label).mean() for label in set(y)]))


def _auc(y: NDArray[np.int_], score: Array) -> float:
    return float(roc_auc_score(y, score)) if 0 < y.sum() < len(y) else float("nan")
