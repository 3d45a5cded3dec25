"""Covariances between the figures of merit of all readers and modalities, because they read the same cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.readers import figures_of_merit
from evalsuite.readers.choices import CovarianceMethod, Metric
from evalsuite.readers.ratings import Ratings

CHUNK = 2_000_000  # pairs of cases held at a time


def figures(ratings: Ratings, metric: Metric, threshold: float) -> NDArray[np.floating]:
    """The figure of merit of each modality and reader, [modalities, readers]."""
    values = [
        [figures_of_merit.figure(one, ratings.positive, metric, threshold) for one in modality]
        for modality in ratings.values
    ]
    return np.array(values)


def covariance(ratings: Ratings, metric: Metric, threshold: float, method: CovarianceMethod) -> NDArray[np.floating]:
    """Covariance matrix of the figures, [modalities * readers, modalities * readers], the readers counting fastest.

    Parameters
    ----------
    method
        `jackknife` leaves out one case, or one patient, at a time (Efron 1982); `delong` is DeLong et al. 1988, with
        patients after Obuchowski 1997; `unbiased` has U-statistics (Gallas, Pennello & Myers 2007) and no patients.

    Raises
    ------
    UserError
        The unbiased method, asked for cases of patients.
    """
    ratings = _counted(ratings, metric)
    if method is CovarianceMethod.jackknife:
        n = int(ratings.units.max()) + 1
        moved = leave_one_out(ratings, metric, threshold).reshape(-1, n)
        moved = moved - moved.mean(axis=1, keepdims=True)
        return np.asarray((n - 1) / n * moved @ moved.T)
    clustered = ratings.clusters is not None
    if method is CovarianceMethod.unbiased and clustered:
        raise UserError(
            f"{ratings.source}: the unbiased covariance takes each case for independent, and these are of patients; "
            "take jackknife or delong"
        )
    if method is CovarianceMethod.unbiased and metric is Metric.auroc:
        return _unbiased(ratings)
    rows = np.array(
        [
            figures_of_merit.influence(one, ratings.positive, metric, threshold)[1]
            for modality in ratings.values
            for one in modality
        ]
    )
    if not clustered:
        return np.asarray(rows @ rows.T)
    m = int(ratings.units.max()) + 1
    sums = np.array([np.bincount(ratings.units, weights=row, minlength=m) for row in rows])
    return np.asarray(m / max(m - 1, 1) * sums @ sums.T)


def leave_one_out(ratings: Ratings, metric: Metric, threshold: float) -> NDArray[np.floating]:
    """The figures without each case or patient that the metric counts, [modalities, readers, units]."""
    ratings = _counted(ratings, metric)
    return np.array(
        [
            [figures_of_merit.left_out(one, ratings.positive, ratings.units, metric, threshold) for one in modality]
            for modality in ratings.values
        ]
    )


def _counted(ratings: Ratings, metric: Metric) -> Ratings:
    """The cases that the metric counts: the positive ones for a sensitivity, as MRMCaov has it."""
    if metric is Metric.auroc:
        return ratings
    return ratings.take(ratings.positive == (metric is Metric.sensitivity))


def _unbiased(ratings: Ratings) -> NDArray[np.floating]:
    """theta_a theta_b less an unbiased estimate of that product: the mean over pairs that share no case."""
    flat = ratings.values.reshape(-1, ratings.values.shape[-1])
    above, below = flat[:, ratings.positive], flat[:, ~ratings.positive]
    k, m, n = len(flat), above.shape[1], below.shape[1]
    by_positive, by_negative, gram = np.zeros((k, m)), np.zeros((k, n)), np.zeros((k, k))
    step = max(1, CHUNK // max(n * k, 1))
    for start in range(0, m, step):
        part = above[:, start : start + step, None] - below[:, None, :]
        wins = (np.sign(part) + 1) / 2
        by_positive[:, start : start + step] = wins.sum(axis=2)
        by_negative += wins.sum(axis=1)
        pairs = wins.reshape(k, -1)
        gram += pairs @ pairs.T
    total = by_positive.sum(axis=1)
    product = np.outer(total, total)
    disjoint = product - by_positive @ by_positive.T - by_negative @ by_negative.T + gram
    return np.asarray(product / (m * n) ** 2 - disjoint / (m * n * (m - 1) * (n - 1)))
