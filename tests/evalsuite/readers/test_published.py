"""Published examples, to the digits printed.

Van Dyke et al. 1993 (5 readers, 2 modalities, 114 cases): figures and covariances as printed in the user guide of
MRMCaov 0.3 (Smith & Hillis) and in RJafroc (Chakraborty; `dataset02`). The ratings themselves are in packages under
GPL-3 and so not here; docs/validation.md says what they gave. iMRMC's own simulated example (CC0) is here whole.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from mrmc_helpers import imrmc_example
from numpy.typing import NDArray

from evalsuite.readers import obuchowski_rockette, ratings
from evalsuite.readers.choices import CovarianceMethod, Fixed, Metric
from evalsuite.readers.covariance import covariance, figures
from evalsuite.readers.obuchowski_rockette import Analysis, components

AUROC = np.array(
    [[0.9196457, 0.8587762, 0.9038647, 0.9731079, 0.8297907], [0.9478261, 0.9053140, 0.9217391, 0.9993559, 0.9299517]]
)
#: Error and cov1 to cov3 over both modalities, then cov2 of each alone, by the jackknife.
JACKKNIFE = (0.0008022883, 0.0003466137, 0.0003440748, 0.0002390284, 0.0004839618, 0.0002041879)
DELONG = (0.0007921325, 0.0003420090, 0.0003395265, 0.0002358497, 0.0004775239, 0.0002015292)
UNBIASED = (0.0007883925, 0.0003416706, 0.0003390650, 0.0002356148, 0.0004771788, 0.0002009512)
SENSITIVITY = np.array([[40, 35, 37, 42, 31], [44, 37, 41, 45, 40]]) / 45  # from a rating of 3
OF_SENSITIVITY = (0.0023681257, 0.0009943883, 0.0010145903, 0.0006604938, 0.001646465, 0.000382716)
#: Error of each modality alone, which fixed readers need.
ERRORS = (0.0010141028, 0.0005904738)


def matrix(parts: tuple[float, ...], errors: tuple[float, float] | None = None) -> NDArray[np.floating]:
    """A covariance matrix of 2 modalities and 5 readers with these mean error and covariances."""
    error, cov1, _, cov3, *own = parts
    found = np.full((2, 5, 2, 5), cov3)
    for i in range(2):
        found[i, :, i, :] = own[i]
        for j in range(5):
            found[i, j, 1 - i, j] = cov1
            found[i, j, i, j] = error if errors is None else errors[i]
    return found.reshape(10, 10)


def van_dyke(parts: tuple[float, ...], fixed: Fixed, values: NDArray[np.floating] = AUROC) -> Analysis:
    return obuchowski_rockette.analyse(
        ("1", "2"), values, matrix(parts, ERRORS if fixed is Fixed.readers else None), fixed
    )


@pytest.mark.parametrize(
    ("parts", "values", "reader", "interaction", "f", "df", "p", "error", "low", "high"),
    [
        (
            JACKKNIFE,
            AUROC,
            0.0015349993,
            0.0002004025,
            4.456319,
            15.25967,
            0.05166569,
            0.02074862,
            -0.00035885,
            0.0879595,
        ),
        (DELONG, AUROC, 0.0015364254, 0.0002045840, 4.484854, 15.06611, 0.05123303, 0.0206825, -0.00026655, 0.0878672),
        (
            UNBIASED,
            AUROC,
            0.0015365290,
            0.0002077588,
            4.489614,
            15.03418,
            0.0511618,
            0.02067154,
            -0.0002513,
            0.08785194,
        ),
        (
            OF_SENSITIVITY,
            SENSITIVITY,
            0.0049747475,
            0.0007828283,
            6.689493,
            15.71732,
            0.02008822,
            0.03780451,
            0.0175185,
            0.1780371,
        ),
    ],
)
def test_random_readers_and_cases_are_those_of_mrmcaov(
    parts: tuple[float, ...],
    values: NDArray[np.floating],
    reader: float,
    interaction: float,
    f: float,
    df: float,
    p: float,
    error: float,
    low: float,
    high: float,
) -> None:
    found, made = van_dyke(parts, Fixed.neither, values), components(values, matrix(parts))
    assert (made.reader, made.modality_reader) == pytest.approx((reader, interaction), abs=2e-9)
    assert found.test is not None
    assert (found.test.f, found.test.df2, found.test.p) == pytest.approx((f, df, p), rel=2e-5)
    one = found.differences[0]
    assert (one.error, one.low, one.high, one.p) == pytest.approx((error, low, high, p), rel=2e-5, abs=1e-7)


def test_fixed_readers_are_those_of_mrmcaov_and_rjafroc() -> None:
    found = van_dyke(JACKKNIFE, Fixed.readers)
    assert found.test is not None
    assert (found.test.f, found.test.df2) == (pytest.approx(5.475953, rel=1e-5), math.inf)  # chi-squared over 1
    one = found.differences[0]
    assert (one.error, one.low, one.high, one.p) == pytest.approx(
        (0.01871748, 0.00711473, 0.08048591, 0.01927984), rel=2e-5
    )
    assert [(m.error, m.low, m.high) for m in found.means] == [
        pytest.approx(row, rel=2e-6) for row in ((0.02428971, 0.8494301, 0.9446440), (0.01677632, 0.9079564, 0.9737183))
    ]


def test_fixed_cases_are_those_of_mrmcaov_and_rjafroc() -> None:
    found = van_dyke(JACKKNIFE, Fixed.cases)
    assert found.test is not None
    assert (found.test.f, found.test.df1, found.test.df2, found.test.p) == pytest.approx(
        (8.704, 1, 4, 0.04195875), rel=1e-5
    )
    one = found.differences[0]
    assert (one.error, one.low, one.high) == pytest.approx((0.01484629, 0.00258042, 0.08502022), rel=2e-5)
    assert [(m.error, m.low, m.high) for m in found.means] == [
        pytest.approx(row, rel=2e-6) for row in ((0.02482994, 0.8280981, 0.9659760), (0.01615303, 0.8959894, 0.9856854))
    ]


def test_each_modality_alone_is_that_of_mrmcaov() -> None:
    assert [(m.value, m.error, m.df, m.low, m.high) for m in van_dyke(JACKKNIFE, Fixed.neither).means] == [
        pytest.approx(row, rel=2e-6)
        for row in (
            (0.8970370, 0.03317360, 12.74465, 0.8252236, 0.9688505),
            (0.9408374, 0.02156637, 12.71019, 0.8941378, 0.9875369),
        )
    ]


def test_readers_who_agree_more_than_chance_are_those_of_rjafroc() -> None:
    """Franken et al. 1992 (4 readers, 100 cases; RJafroc's `dataset03`): cov2 below cov3 counts as equal to it."""
    values = np.array([[0.8534600, 0.8649932, 0.8573044, 0.8152420], [0.8496156, 0.8435097, 0.8401176, 0.8143374]])
    case, by_modality, by_reader, rest = (v / 100 for v in (0.05125091, -0.002887147, 0.0279173, 0.07629656))
    own = (0.0004722991, 0.0004949762)
    found = np.full((2, 4, 2, 4), case)
    for i in range(2):
        found[i, :, i, :] = own[i]
        for j in range(4):
            found[i, j, 1 - i, j] = case + by_reader
            found[i, j, i, j] = case + by_modality + by_reader + rest
    assert np.mean(own) == pytest.approx(case + by_modality, rel=1e-6)
    covariances = found.reshape(8, 8)
    parts = components(values, covariances)
    assert (parts.reader, parts.modality_reader) == pytest.approx((3.775568e-05, -0.0007127629), rel=2e-4)
    made = obuchowski_rockette.analyse(("1", "2"), values, covariances, Fixed.neither)
    assert made.test is not None
    assert (made.test.f, made.test.df2, made.test.p) == pytest.approx((4.694058, 3, 0.1188379), rel=1e-4)
    one = made.differences[0]
    assert (one.error, one.low, one.high) == pytest.approx((0.005010122, -0.02679926, 0.005089627), rel=1e-4)
    assert [(m.value, m.error, m.df, m.low, m.high) for m in made.means] == [
        pytest.approx(row, rel=1e-5)
        for row in (
            (0.8477499, 0.02440215, 70.12179, 0.7990828, 0.8964170),
            (0.8368951, 0.02356642, 253.64403, 0.7904843, 0.8833058),
        )
    ]
    fixed = obuchowski_rockette.analyse(("1", "2"), values, covariances, Fixed.readers).test
    assert fixed is not None
    assert fixed.f == pytest.approx(0.363956, rel=1e-4)


def test_ratings_give_what_imrmc_gives() -> None:
    """AUROCs, U-statistic variances, Obuchowski-Rockette components and Hillis' degrees of freedom, to all digits."""
    table = ratings.from_frame(imrmc_example())
    found = figures(table, Metric.auroc, math.nan)
    shared = covariance(table, Metric.auroc, math.nan, CovarianceMethod.unbiased)
    assert found.tolist() == [
        [0.631875, 0.72625, 0.893125, 0.484375, 0.78625],
        [0.675, 0.839375, 0.76375, 0.721875, 0.7925],
    ]
    own = [0.003965, 0.003406, 0.001111, 0.004254, 0.002518, 0.003592, 0.001907, 0.002852, 0.003302, 0.002493]
    assert np.diag(shared).tolist() == pytest.approx(own, abs=1e-6)
    assert shared[0, 0] + shared[5, 5] - 2 * shared[0, 5] == pytest.approx(0.002876, abs=1e-6)
    parts = components(found, shared)
    assert (parts.reader, parts.modality_reader) == pytest.approx((0.004254, 0.008399), abs=1e-6)
    assert (parts.error, parts.cov1, parts.cov2, parts.cov3) == pytest.approx(
        (0.002940, 0.001525, 0.001530, 0.000865), abs=1e-6
    )
    analysis = obuchowski_rockette.analyse(table.modalities, found, shared, Fixed.neither)
    one = analysis.differences[0]
    assert (one.value, one.error**2, one.df) == pytest.approx((0.054125, 0.00499, 7.435336), abs=1e-6)
    assert [(m.value, m.error**2, m.df) for m in analysis.means] == [
        pytest.approx(row, abs=1e-6) for row in ((0.704375, 0.006314, 6.854589), (0.7585, 0.002372, 35.000153))
    ]
