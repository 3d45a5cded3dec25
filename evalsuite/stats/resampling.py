"""Resampling as weights: a bootstrap is a matrix [rows, resamples].

Units (patients, or rows where each stands alone) are drawn within strata (group x label), so that no resample loses a
class. Without strata, a class of one row would be missing from 37 % of the resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
#: What belongs together, a name or code for each row: images of a patient, or all that was made from one photograph.
Family = NDArray[Any] | None
Families = tuple[Family, Family]  # of the real and of the synthetic images


def chunks(total: int, size: int = 100) -> list[int]:
    """Resamples to draw at a time, so that the weights fit the cache."""
    return [min(size, total - done) for done in range(0, total, size)]


def codes_of(family: Family, n: int) -> NDArray[np.intp]:
    """Families as codes from 0, [n]; without any, each row is its own."""
    if family is None:
        return np.arange(n)
    return np.unique(np.asarray(family, dtype=str), return_inverse=True)[1]


def of_rows(family: Family, rows: NDArray[Any]) -> Family:
    """The families of some rows."""
    return None if family is None else family[rows]


@dataclass(frozen=True)
class Units:
    """What is drawn: unit of each row [n], and the stratum of each unit [u]."""

    of_row: NDArray[np.int64]
    stratum: NDArray[np.int64]


def units(strata: NDArray[np.int64], clusters: NDArray[np.int64] | None) -> Units:
    """Units of a bootstrap: clusters (their stratum is that of most of their rows), or the rows themselves."""
    if clusters is None:
        return Units(np.arange(len(strata)), strata)
    _, of_row = np.unique(clusters, return_inverse=True)
    width = int(strata.max()) + 1
    votes = np.bincount(of_row * width + strata, minlength=(int(of_row.max()) + 1) * width)
    return Units(of_row, votes.reshape(-1, width).argmax(axis=1))


def family_units(family: Family, n: int) -> Units:
    """Whole families, all in one stratum."""
    return units(np.zeros(n, dtype=np.int64), None if family is None else codes_of(family, n))


def bootstrap_weights(rng: np.random.Generator, of: Units, resamples: int) -> Array:
    """Weights of each row in each resample, float64 [n, resamples].

    m - 1 of the m units of a stratum are drawn and weighted m / (m - 1) (Rao & Wu 1988): the plain bootstrap
    shows only (m - 1) / m of the variance, which matters where strata hold five rows. A stratum of one unit keeps
    weight 1.
    """
    counts, weight = _drawn(rng, of, resamples)
    return (counts * weight[:, None])[of.of_row]


def bootstrap_rows(rng: np.random.Generator, of: Units, resamples: int) -> Iterator[NDArray[np.intp]]:
    """The rows of each resample, in the order of the table: m - 1 of the m units of each stratum, drawn as above."""
    for size in chunks(resamples):
        for counts in _drawn(rng, of, size)[0].T:
            yield np.repeat(np.arange(len(of.of_row)), counts[of.of_row])


def _drawn(rng: np.random.Generator, of: Units, resamples: int) -> tuple[NDArray[np.int64], Array]:
    """How often each unit is drawn in each resample, int [units, resamples], and the weight of one draw, [units]."""
    counts, weight = np.ones((len(of.stratum), resamples), dtype=np.int64), np.ones(len(of.stratum))
    order = np.argsort(of.stratum, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(of.stratum[order]) > 0])
    offsets = np.arange(resamples)
    for members in np.split(order, starts[1:]):
        m = len(members)
        if m > 1:
            drawn = rng.integers(0, m, (m - 1, resamples)) * resamples + offsets
            counts[members] = np.bincount(drawn.ravel(), minlength=m * resamples).reshape(m, resamples)
            weight[members] = m / (m - 1)
    return counts, weight
