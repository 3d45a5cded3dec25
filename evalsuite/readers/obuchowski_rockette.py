"""Obuchowski & Rockette 1995: an analysis of variance of figures of merit whose errors are correlated.

The model of modality i and reader j is mean + modality_i + reader_j + interaction_ij + error_ij, where errors covary by
`cov1` (one reader, two modalities), `cov2` (one modality, two readers) and `cov3` (both differ). Degrees of freedom are
those of Hillis 2007; the single-modality intervals and the tests with fixed readers or cases those of Hillis, Berbaum &
Metz 2008.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from scipy.stats import f as f_distribution
from scipy.stats import t as student

from evalsuite.readers.choices import Fixed

Array = NDArray[np.floating]
DUST = 1e-20


@dataclass(frozen=True)
class Components:
    """Variances of reader, interaction and error, and the error's covariances; NaN where one reader or modality."""

    reader: float
    modality_reader: float
    error: float
    cov1: float
    cov2: float
    cov3: float


@dataclass(frozen=True)
class EqualityTest:
    """The test that all modalities are equal: F with df1 and df2, where an infinite df2 is chi-squared over df1."""

    f: float
    df1: int
    df2: float
    p: float


@dataclass(frozen=True)
class Difference:
    """Modality b less modality a, averaged over readers."""

    a: str
    b: str
    value: float
    low: float
    high: float
    error: float
    df: float
    p: float

    def detectable(self, power: float = 0.8) -> float:
        """The true difference that a study like this one finds with this power, at 5 % on two sides."""
        return float(student.ppf(0.975, self.df) + student.ppf(power, self.df)) * self.error


@dataclass(frozen=True)
class Mean:
    """The mean of all readers in one modality, from the data of that modality alone."""

    modality: str
    value: float
    low: float
    high: float
    error: float
    df: float


@dataclass(frozen=True)
class Analysis:
    """What holds with `fixed`; no test and no differences where there is one modality."""

    fixed: Fixed
    test: EqualityTest | None
    differences: tuple[Difference, ...]
    means: tuple[Mean, ...]


@dataclass(frozen=True)
class MeanSquares:
    """Of the figures, [modalities, readers]; NaN without degrees of freedom."""

    modality: float
    reader: float
    interaction: float

    @staticmethod
    def of(figures: Array) -> MeanSquares:
        t, r = figures.shape
        rest = figures - figures.mean(1, keepdims=True) - figures.mean(0, keepdims=True) + figures.mean()
        return MeanSquares(
            r * _variance(figures.mean(axis=1)),
            t * _variance(figures.mean(axis=0)),
            without_dust(float((rest**2).sum()) / ((t - 1) * (r - 1))) if t > 1 and r > 1 else math.nan,
        )


def components(figures: Array, covariance: Array) -> Components:
    """Variance components; those of reader and interaction are unbiased and so may be negative.

    Parameters
    ----------
    figures
        [modalities, readers].
    covariance
        Of the figures, [modalities * readers, modalities * readers].
    """
    (t, r), square = figures.shape, MeanSquares.of(figures)
    modality, reader = np.repeat(np.arange(t), r), np.tile(np.arange(r), t)
    same_modality, same_reader = modality[:, None] == modality, reader[:, None] == reader

    def mean(cells: NDArray[np.bool_]) -> float:
        return float(covariance[cells].mean()) if cells.any() else math.nan

    error, cov1 = mean(same_modality & same_reader), mean(~same_modality & same_reader)
    cov2, cov3 = mean(same_modality & ~same_reader), mean(~same_modality & ~same_reader)
    if t == 1:
        return Components(square.reader - error + cov2, math.nan, error, cov1, cov2, cov3)
    return Components(
        (square.reader - square.interaction) / t - cov1 + cov3,
        square.interaction - error + cov1 + (cov2 - cov3),
        error,
        cov1,
        cov2,
        cov3,
    )


def analyse(
    names: tuple[str, ...], figures: Array, covariance: Array, fixed: Fixed, confidence: float = 0.95
) -> Analysis:
    """Compare modalities; see `components` for the shapes. What has no positive variance is NaN.

    Parameters
    ----------
    names
        Of the modalities; each later one is compared with each earlier one.
    """
    t, r = figures.shape
    found = components(figures, covariance)
    blocks = [covariance[i * r : (i + 1) * r, i * r : (i + 1) * r] for i in range(t)]
    means = tuple(
        _mean(name, row, components(row[None], block), fixed, confidence)
        for name, row, block in zip(names, figures, blocks, strict=True)
    )
    if t == 1:
        return Analysis(fixed, None, (), means)
    square = MeanSquares.of(figures)
    noise, df = _noise(square, found, r, t, fixed)
    f = square.modality / noise if noise > 0 else math.nan
    test = EqualityTest(f, t - 1, df, f_tail(f, t - 1, df))
    error = math.sqrt(2 / r * noise) if noise > 0 else math.nan
    return Analysis(
        fixed,
        test,
        tuple(
            _difference(names[a], names[b], float((figures[b] - figures[a]).mean()), error, df, confidence)
            for a, b in combinations(range(t), 2)
        ),
        means,
    )


def _noise(square: MeanSquares, found: Components, r: int, t: int, fixed: Fixed) -> tuple[float, float]:
    """What the mean square of the modalities is compared with, and its degrees of freedom."""
    if fixed is Fixed.readers:
        between = (r - 1) * (found.cov2 - found.cov3) if r > 1 else 0.0
        return without_dust(found.error - found.cov1 + between), math.inf
    if fixed is Fixed.cases:
        return square.interaction, (t - 1) * (r - 1)
    noise = square.interaction + r * max(found.cov2 - found.cov3, 0.0)
    return noise, _hillis(noise, square.interaction, (t - 1) * (r - 1))


def _mean(name: str, row: Array, found: Components, fixed: Fixed, confidence: float) -> Mean:
    """One modality; its interval stays within 0 and 1."""
    r, spread = len(row), _variance(row)
    shared = max(found.cov2, 0.0) if r > 1 else 0.0
    if fixed is Fixed.readers:
        noise, df = found.error + (r - 1) * shared, math.inf
    elif fixed is Fixed.cases:
        noise, df = spread, float(r - 1)
    else:
        noise = spread + r * shared
        df = _hillis(noise, spread, r - 1)
    value, error = float(row.mean()), math.sqrt(noise / r) if noise > 0 else math.nan
    half = _quantile(df, confidence) * error
    return Mean(name, value, max(0.0, value - half), min(1.0, value + half), error, df)


def _difference(a: str, b: str, value: float, error: float, df: float, confidence: float) -> Difference:
    half = _quantile(df, confidence) * error
    return Difference(a, b, value, value - half, value + half, error, df, f_tail((value / error) ** 2, 1, df))


def _hillis(noise: float, own: float, degrees: int) -> float:
    """Hillis' degrees of freedom: infinite where the readers' own part of the noise is 0."""
    if degrees < 1:
        return math.nan
    return noise**2 / (own**2 / degrees) if own > 0 else math.inf


def _quantile(df: float, confidence: float) -> float:
    return float(student.ppf(0.5 + confidence / 2, df)) if df > 0 else math.nan


def f_tail(f: float, df1: int, df2: float) -> float:
    """The p value of an F; an infinite df2 is chi-squared over df1."""
    if math.isinf(df2):
        return float(chi2.sf(f * df1, df1))
    return float(f_distribution.sf(f, df1, df2)) if df2 > 0 else math.nan


def _variance(values: Array) -> float:
    return without_dust(float(values.var(ddof=1))) if len(values) > 1 else math.nan


def without_dust(square: float) -> float:
    """A mean square or a variance; what rounding left of 0 is 0, or an error of 0 would look like a small one."""
    return square if abs(square) > DUST else 0.0
