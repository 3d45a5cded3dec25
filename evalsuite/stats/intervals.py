"""Intervals of shares, scores, AUROCs, differences and resampled values, and the quantiles that they take."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, ndtr, ndtri, stdtr, stdtrit

#: The interval of an estimate at any confidence, and the quantile that belongs to a confidence.
Bounds = Callable[[float], tuple[float, float]]
Quantile = Callable[[float], float]


def undefined(confidence: float) -> tuple[float, float]:
    """Bounds of what is not known."""
    return math.nan, math.nan


def of_the_rest(bounds: Bounds) -> Bounds:
    """Bounds of 1 - p from those of p."""

    def flipped(confidence: float) -> tuple[float, float]:
        low, high = bounds(confidence)
        return 1 - high, 1 - low

    return flipped


@cache
def z_of(confidence: float) -> float:
    """The two-sided normal quantile of a confidence level."""
    return float(ndtri(0.5 + confidence / 2))


@cache
def t_of(confidence: float, degrees: float) -> float:
    """The two-sided quantile of Student's t."""
    return z_of(confidence) if math.isinf(degrees) else float(stdtrit(degrees, 0.5 + confidence / 2))


def student(degrees: float) -> Quantile:
    """Student's quantile, for a variance that was estimated with these degrees of freedom."""
    return lambda confidence: t_of(confidence, max(degrees, 1.0))


def quantile_of(degrees: float, rows: float) -> Quantile:
    """Student's quantile where clusters or weights gave degrees of freedom, else that of few rows."""
    return student(degrees) if math.isfinite(degrees) else few_rows(max(rows, 1))


def few_rows(rows: float) -> Quantile:
    """The normal quantile, its tail beyond 95 % as much heavier as that of Student's t with `rows` degrees.

    Intervals of shares are made for 95 %. Where many pairs of groups must hold together each needs 99 % and more, and
    with 30 rows Wilson's then err in up to 7 % instead of 5 (docs/validation.md).
    """

    def quantile(confidence: float) -> float:
        if confidence <= 0.95:
            return z_of(confidence)
        return z_of(0.95) * t_of(confidence, rows) / t_of(0.95, rows)

    return quantile


def wilson(
    successes: float, n: float, confidence: float = 0.95, deff: float = 1.0, quantile: Quantile = z_of
) -> tuple[float, float]:
    """Wilson (1927) score interval of a proportion; NaN where n is 0.

    Parameters
    ----------
    deff
        Design effect of clustered rows (`clusters.design`): counts shrink to n / deff, as Korn & Graubard 1998 do.
    """
    if n <= 0 or math.isnan(successes):
        return math.nan, math.nan
    z, p, size = quantile(confidence), successes / n, n / max(deff, 1.0)
    centre = (p + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(p * (1 - p) / size + z * z / (4 * size * size))
    # at p = 0 and 1 the bound is p itself; rounding must not move it past
    return min(max(0.0, centre - half), p), max(min(1.0, centre + half), p)


def clopper_pearson(
    successes: float, n: float, confidence: float = 0.95, deff: float = 1.0, quantile: Quantile = z_of
) -> tuple[float, float]:
    """The exact interval of a proportion (Clopper & Pearson 1934), with the arguments of `wilson`.

    Each end errs at its level at most, where those of `wilson` do so on average: Wilson's upper end for 5 % lies below
    the share in up to 7 % where there are few hits.
    """
    if n <= 0 or math.isnan(successes):
        return math.nan, math.nan
    hits, size, tail = successes / max(deff, 1.0), n / max(deff, 1.0), float(ndtr(-quantile(confidence)))
    misses = size - hits
    low = float(betaincinv(hits, misses + 1, tail)) if hits > 0 else 0.0
    return low, float(betaincinv(hits + 1, misses, 1 - tail)) if misses > 0 else 1.0


def score_interval(
    value: float, variance: float, size: float, quantile: Quantile, confidence: float = 0.95, top: float = 1.0
) -> tuple[float, float]:
    """Wilson's interval of any score from 0 to `top` (F1, Brier, average precision); NaN where undefined.

    The counts are those of a share with this variance (Korn & Graubard 1998). A percentile bootstrap sees almost no
    variance in a score near its top: its nominal 95 % covered 58 % (docs/validation.md).

    Parameters
    ----------
    variance
        Of the score, from its derivatives or a jackknife.
    size
        Number of independent rows, used where no variance was observed (`effective_size`).
    quantile
        The normal one where the variance follows from counts, else Student's.
    """
    if not (math.isfinite(value) and math.isfinite(variance)):
        return math.nan, math.nan
    p, z = min(max(value / top, 0.0), 1.0), quantile(confidence)
    spread = variance / top**2
    n = p * (1 - p) / spread if spread > 1e-12 and 0 < p < 1 else size
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    return min(max(0.0, low), p) * top, max(min(1.0, high), p) * top


def effective_size(sizes: NDArray[np.int64]) -> tuple[float, float]:
    """Rows and degrees of freedom of a mean over strata of equal weight (Satterthwaite 1946); empty ones are left out.

    Equal strata give all rows, and rows less strata; a small stratum brings both down towards its own.
    """
    m = sizes[sizes > 0].astype(np.float64)
    if not len(m):
        return 0.0, 1.0
    several = m[m > 1]
    loss = float((1 / (several**2 * (several - 1))).sum())
    return len(m) ** 2 / float((1 / m).sum()), float((1 / m).sum()) ** 2 / loss if loss > 0 else 1.0


def mean_of_shares(
    rates: NDArray[np.floating],
    sizes: NDArray[np.int64],
    confidence: float = 0.95,
    deff: float = 1.0,
    quantile: Quantile = z_of,
) -> tuple[float, float]:
    """Interval of the plain mean of k independent shares, such as balanced accuracy (Price & Bonett 2004).

    z^2 / 2k hits and as many misses are added to each: with one share this is Agresti & Coull's. Six rows without a
    mistake leave room for one, of which a bootstrap shows nothing (docs/validation.md). NaN where all are empty.

    Parameters
    ----------
    rates, sizes
        Share and rows of each stratum; empty ones are left out.
    deff
        Design effect of clustered rows: sizes shrink to size / deff.
    """
    used = sizes > 0
    k = int(used.sum())
    if not k:
        return math.nan, math.nan
    p, m, z = rates[used], sizes[used] / max(deff, 1.0), quantile(confidence)
    total = m + z * z / k
    smooth = (p * m + z * z / (2 * k)) / total
    centre, half = float(smooth.mean()), z * math.sqrt(float((smooth * (1 - smooth) / total).sum())) / k
    value = float(p.mean())
    return min(max(0.0, centre - half), value), max(min(1.0, centre + half), value)


def n_for_half_width(p: float, half_width: float = 0.1, confidence: float = 0.95) -> int:
    """The least n at which the Wilson interval of a proportion p is no wider than +- half_width."""
    if not math.isfinite(p):
        p = 0.5
    low, high = 1, 10_000_000
    while low < high:
        middle = (low + high) // 2
        bounds = wilson(p * middle, middle, confidence)
        low, high = (low, middle) if bounds[1] - bounds[0] <= 2 * half_width else (middle + 1, high)
    return low


def auroc_interval(
    area: float,
    variance: float,
    n_positive: float,
    n_negative: float,
    confidence: float = 0.95,
    quantile: Quantile = z_of,
) -> tuple[float, float]:
    """Interval of an AUROC from DeLong's variance, on the logit scale: it stays within 0 and 1.

    Where the variance is 0 (a perfect separation does not show its own error) Newcombe's interval is used.
    """
    if not (math.isfinite(area) and math.isfinite(variance)):
        return math.nan, math.nan
    if variance <= 0 or area <= 0 or area >= 1:
        return newcombe_bounds(area, n_positive, n_negative, confidence, quantile)
    centre, spread = math.log(area / (1 - area)), quantile(confidence) * math.sqrt(variance) / (area * (1 - area))
    return float(expit(centre - spread)), float(expit(centre + spread))


def newcombe_bounds(
    area: float, m: float, n: float, confidence: float = 0.95, quantile: Quantile = z_of
) -> tuple[float, float]:
    """Score-type interval of an AUROC from the sizes alone (Newcombe 2006, method 5)."""
    if not math.isfinite(area) or m == 0 or n == 0:
        return math.nan, math.nan
    grid = np.linspace(1e-6, 1 - 1e-6, 20_001)
    star = (m + n) / 2 - 1
    var = grid * (1 - grid) * (1 + star * (1 - grid) / (2 - grid) + star * grid / (1 + grid)) / (m * n)
    inside = grid[np.abs(area - grid) <= quantile(confidence) * np.sqrt(var)]
    if not len(inside):
        return area, area
    return min(float(inside[0]), area), max(float(inside[-1]), area)


def difference_interval(
    value: float, variance: float, degrees: float = math.inf, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a difference of two scores from 0 to 1, on Fisher's z scale: it stays within -1 and 1.

    The difference of two shares is a Somers' D, for which Edwardes 1995 (Biometrics 51:571) takes this scale, with
    clusters too. NaN where undefined.

    Parameters
    ----------
    variance, degrees
        Of the difference, and the degrees of freedom of that variance.
    """
    if not (math.isfinite(value) and variance > 0):
        return math.nan, math.nan
    centre, error = _fisher(value, variance)
    half = t_of(confidence, degrees) * error
    return min(math.tanh(centre - half), value), max(math.tanh(centre + half), value)


def difference_p(value: float, variance: float, degrees: float = math.inf) -> float:
    """Two-sided p that a difference is 0: below 0.05 where `difference_interval` excludes it; NaN where undefined."""
    if not (math.isfinite(value) and variance > 0):
        return math.nan
    centre, error = _fisher(value, variance)
    tail = ndtr(-abs(centre) / error) if math.isinf(degrees) else stdtr(degrees, -abs(centre) / error)
    return 2 * float(tail)


def _fisher(value: float, variance: float) -> tuple[float, float]:
    """Fisher's z of a difference and its error; the scale has no end, so a value near 1 is drawn in by one error."""
    error = math.sqrt(variance)
    most = max(1 - error, 0.5)
    inside = min(max(value, -most), most)
    return math.atanh(inside), error / (1 - inside**2)


def percentile(samples: NDArray[np.floating], confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of a bootstrap; NaN with fewer than two samples."""
    samples = samples[np.isfinite(samples)]
    if len(samples) < 2:
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)
