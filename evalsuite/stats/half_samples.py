"""Standard errors by repeated half samples: for statistics that a bootstrap would break.

A bootstrap repeats rows, and a repeated image is its own nearest neighbour: recall, coverage and the Vendi score of
such a set are not those of any set of images. A half sample repeats nothing. The variance of a statistic over random
halves of n units is that of the statistic itself (McCarthy 1969; the delete-d jackknife of Shao & Wu 1989 with d = n /
2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.stats.resampling import Array

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Sampled:
    """Some statistics of the same sets, and how they vary together.

    Attributes
    ----------
    values
        [k].
    covariance
        [k, k]; NaN where it is not known.
    degrees
        Of Student's quantile: the families of the smallest set, less one.
    """

    values: Array
    covariance: Array
    degrees: float


def sampled(
    statistic: Callable[..., Sequence[float]], *families: NDArray[Any], draws: int = 200, seed: int = 0
) -> Sampled:
    """Statistics of some sets of images, with their covariance over half samples.

    Parameters
    ----------
    statistic
        Given the rows of each set, the k statistics.
    families
        For each set the family of each row, [n]. A family that lies in several sets is kept or left out in all of them:
        what was made from one photograph, or from the same noise, varies together.
    """
    whole = np.array(statistic(*(np.arange(len(of)) for of in families)), dtype=np.float64)
    few = min((len(set(of)) for of in families), default=0)
    unknown = Sampled(whole, np.full((len(whole), len(whole)), np.nan), max(few - 1.0, 1.0))
    if few < 2:
        return unknown
    drawn = np.array([statistic(*rows) for rows in half_samples(families, draws, seed)], dtype=np.float64)
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    if len(drawn) < draws / 2:
        return unknown
    return Sampled(whole, np.atleast_2d(np.cov(drawn, rowvar=False)), few - 1.0)


def half_samples(families: Sequence[NDArray[Any]], draws: int, seed: int) -> Iterator[list[Rows]]:
    """The rows of each set in each half sample; halves are drawn among families that lie in the same sets."""
    names, codes = np.unique(np.concatenate([np.asarray(of, str) for of in families]), return_inverse=True)
    own = np.split(codes, np.cumsum([len(of) for of in families])[:-1])
    member = np.stack([np.isin(np.arange(len(names)), codes) for codes in own])
    strata = np.unique(member, axis=1, return_inverse=True)[1].ravel()
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        kept = np.zeros(len(names), dtype=bool)
        for stratum in range(int(strata.max()) + 1):
            units = np.flatnonzero(strata == stratum)
            kept[rng.choice(units, (len(units) + rng.integers(2)) // 2, replace=False)] = True
        yield [np.flatnonzero(kept[codes]) for codes in own]
