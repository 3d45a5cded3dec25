"""Covariances against their definitions, written out in the plainest way."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from mrmc_helpers import simulated

from dermforge.common.errors import UserError
from evalsuite.readers import figures_of_merit, ratings
from evalsuite.readers.choices import CovarianceMethod, Metric
from evalsuite.readers.covariance import covariance, figures, leave_one_out
from evalsuite.readers.ratings import Ratings, Reading


def table(cluster: str = "", cases: int = 24) -> Ratings:
    """Ratings on a scale of 5, so that there are ties; a patient has one to four cases, of either kind."""
    frame = simulated(2, cases, seed=3, steps=4)
    frame["patient"] = (frame["case"].str[1:].astype(int) ** 0.8).astype(int)
    return ratings.from_frame(frame, Reading(cluster=cluster))


@pytest.mark.parametrize("cluster", ["", "patient"])
@pytest.mark.parametrize("metric", list(Metric))
def test_leaving_out_is_computing_without(metric: Metric, cluster: str) -> None:
    data = table(cluster)
    found = leave_one_out(data, metric, 2)
    if metric is not Metric.auroc:
        data = data.take(data.positive == (metric is Metric.sensitivity))
    for unit, (i, j) in product(range(found.shape[2]), np.ndindex(2, 2)):
        kept = data.take(data.units != unit)
        expected = figures_of_merit.figure(kept.values[i, j], kept.positive, metric, 2)
        assert found[i, j, unit] == pytest.approx(expected, abs=1e-12)


def test_the_jackknife_of_a_share_is_its_sample_variance() -> None:
    data = table()
    jackknife, delong, unbiased = (covariance(data, Metric.sensitivity, 2, method) for method in CovarianceMethod)
    assert jackknife == pytest.approx(delong, abs=1e-15)
    assert jackknife == pytest.approx(unbiased, abs=1e-15)


def test_delong_is_the_sum_of_squared_placements() -> None:
    data = table()
    found = covariance(data, Metric.auroc, math.nan, CovarianceMethod.delong)
    wins = (np.sign(data.values[..., data.positive, None] - data.values[..., None, ~data.positive]) + 1) / 2
    wins = wins.reshape(4, *wins.shape[2:])
    m, n = wins.shape[1:]
    assert found == pytest.approx(np.cov(wins.mean(axis=2)) / m + np.cov(wins.mean(axis=1)) / n, abs=1e-12)


def test_the_unbiased_covariance_takes_pairs_that_share_no_case() -> None:
    data = table(cases=10)
    found = covariance(data, Metric.auroc, math.nan, CovarianceMethod.unbiased)
    flat = data.values.reshape(4, -1)
    wins = (np.sign(flat[:, data.positive, None] - flat[:, None, ~data.positive]) + 1) / 2
    m, n = wins.shape[1:]
    for a, b in np.ndindex(4, 4):
        apart = [
            wins[a, i, j] * wins[b, k, h]
            for i, j, k, h in product(range(m), range(n), range(m), range(n))
            if i != k and j != h
        ]
        assert found[a, b] == pytest.approx(wins[a].mean() * wins[b].mean() - np.mean(apart), abs=1e-12)


def test_the_unbiased_covariance_does_not_depend_on_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = table()
    whole = covariance(data, Metric.auroc, math.nan, CovarianceMethod.unbiased)
    monkeypatch.setattr("evalsuite.readers.covariance.CHUNK", 100)
    assert covariance(data, Metric.auroc, math.nan, CovarianceMethod.unbiased) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("method", [CovarianceMethod.jackknife, CovarianceMethod.delong])
def test_each_case_twice_as_a_patient_adds_nothing(method: CovarianceMethod) -> None:
    """Two photographs that are read alike are one; taken for two, they would halve the variance."""
    frame = simulated(2, 40, seed=5)
    frame["patient"] = frame["case"]
    once = ratings.from_frame(frame)
    twice = ratings.from_frame(pd.concat([frame, frame.assign(case=frame["case"] + "b")]), Reading(cluster="patient"))
    one, other = (covariance(data, Metric.auroc, math.nan, method) for data in (once, twice))
    assert figures(once, Metric.auroc, 0) == pytest.approx(figures(twice, Metric.auroc, 0))
    assert other == pytest.approx(one, rel=0.06)
    naive = covariance(
        ratings.from_frame(pd.concat([frame, frame.assign(case=frame["case"] + "b")])), Metric.auroc, 0, method
    )
    assert np.diag(naive) == pytest.approx(np.diag(one) / 2, rel=0.06)


def test_the_unbiased_covariance_refuses_patients() -> None:
    with pytest.raises(UserError, match="take jackknife or delong"):
        covariance(table("patient"), Metric.auroc, math.nan, CovarianceMethod.unbiased)
