"""Pseudovalues and correlated errors are two ways to one analysis (Hillis et al. 2005)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mrmc_helpers import simulated

from evalsuite.readers import dorfman_berbaum_metz, obuchowski_rockette, ratings
from evalsuite.readers.choices import CovarianceMethod, Fixed, Metric
from evalsuite.readers.covariance import covariance, figures, leave_one_out


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("metric", list(Metric))
def test_both_analyses_are_one_with_the_jackknife(metric: Metric, seed: int) -> None:
    data = ratings.from_frame(simulated(3, 40, 0.3, seed))
    found = figures(data, metric, 1.0)
    shared = covariance(data, metric, 1.0, CovarianceMethod.jackknife)
    values = dorfman_berbaum_metz.pseudovalues(found, leave_one_out(data, metric, 1.0))
    anova = dorfman_berbaum_metz.analyse(values)
    assert values.mean(axis=2) == pytest.approx(found)
    for fixed in (Fixed.neither, Fixed.cases):
        other = obuchowski_rockette.analyse(data.modalities, found, shared, fixed).test
        mine = anova.tests[fixed.value]
        assert other is not None
        assert (mine.f, mine.df2, mine.p) == pytest.approx((other.f, other.df2, other.p), nan_ok=True)
    readers = obuchowski_rockette.analyse(data.modalities, found, shared, Fixed.readers).test
    assert readers is not None
    assert anova.tests["readers"].f == pytest.approx(readers.f)
    parts, n = obuchowski_rockette.components(found, shared), values.shape[2]
    assert anova.components["r"] == pytest.approx(parts.reader)
    assert anova.components["tr"] == pytest.approx(parts.modality_reader)
    assert anova.components["c"] / n == pytest.approx(parts.cov3)
    assert anova.components["tc"] / n == pytest.approx(parts.cov2 - parts.cov3)
    assert anova.components["rc"] / n == pytest.approx(parts.cov1 - parts.cov3)


def test_mean_squares_add_up_to_the_whole() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 7))
    square = dorfman_berbaum_metz.analyse(values).mean_squares
    degrees = {"t": 1, "r": 2, "c": 6, "tr": 2, "tc": 6, "rc": 12, "trc": 12}
    assert sum(square[k] * degrees[k] for k in degrees) == pytest.approx(((values - values.mean()) ** 2).sum())


def test_readers_who_do_not_differ_leave_no_f() -> None:
    same = np.tile(np.random.default_rng(0).normal(size=(1, 1, 7)), (2, 3, 1))
    assert math.isnan(dorfman_berbaum_metz.analyse(same).tests["cases"].f)
