"""Dorfman, Berbaum & Metz 1992: an analysis of variance of jackknife pseudovalues, with Hillis' improvements.

With jackknife covariances it is Obuchowski & Rockette's analysis in other words (Hillis et al. 2005). The suite gives
it as a check of that one, and for its variance components, by which such studies are planned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalsuite.readers.choices import Fixed
from evalsuite.readers.obuchowski_rockette import EqualityTest, f_tail, without_dust


@dataclass(frozen=True)
class PseudovalueAnova:
    """Mean squares and variance components by their effect: t modality, r reader, c case; and the three tests."""

    mean_squares: dict[str, float]
    components: dict[str, float]
    tests: dict[str, EqualityTest]


def pseudovalues(figures: NDArray[np.floating], without: NDArray[np.floating]) -> NDArray[np.floating]:
    """Pseudovalues whose mean is the figure itself (normalised: Hillis et al. 2005), [modalities, readers, units].

    Parameters
    ----------
    figures
        [modalities, readers].
    without
        The figures without each case or patient, [modalities, readers, units].
    """
    n = without.shape[2]
    return np.asarray(figures[..., None] + (n - 1) * (without.mean(axis=2, keepdims=True) - without))


def analyse(values: NDArray[np.floating]) -> PseudovalueAnova:
    """Analyse pseudovalues of at least two modalities and two readers, [modalities, readers, units]."""
    t, r, n = values.shape
    square = _mean_squares(values)
    ms_t, ms_tr, ms_tc, ms_trc = (square[key] for key in ("t", "tr", "tc", "trc"))
    both = ms_tr + max(ms_tc - ms_trc, 0.0)
    tests = {
        Fixed.neither.value: _test(
            ms_t, both, t - 1, both**2 / (ms_tr**2 / ((t - 1) * (r - 1))) if ms_tr else math.inf
        ),
        Fixed.readers.value: _test(ms_t, ms_tc, t - 1, (t - 1) * (n - 1)),
        Fixed.cases.value: _test(ms_t, ms_tr, t - 1, (t - 1) * (r - 1)),
    }
    parts = {
        "r": (square["r"] - ms_tr - square["rc"] + ms_trc) / (t * n),
        "c": (square["c"] - ms_tc - square["rc"] + ms_trc) / (t * r),
        "tr": (ms_tr - ms_trc) / n,
        "tc": (ms_tc - ms_trc) / r,
        "rc": (square["rc"] - ms_trc) / t,
        "trc": ms_trc,
    }
    return PseudovalueAnova(square, parts, tests)


def _mean_squares(values: NDArray[np.floating]) -> dict[str, float]:
    """Of each effect: its part of the values, squared and summed over its degrees of freedom."""
    axes = {"t": 0, "r": 1, "c": 2}
    parts: dict[str, NDArray[np.floating]] = {"": values.mean(keepdims=True)}
    found = {}
    for effect in ("t", "r", "c", "tr", "tc", "rc", "trc"):
        others = tuple(axis for name, axis in axes.items() if name not in effect)
        part = values.mean(axis=others, keepdims=True) if others else values
        for smaller in [name for name in parts if set(name) < set(effect)]:
            part = part - parts[smaller]
        parts[effect] = part
        cells, degrees = 1, 1
        for name, axis in axes.items():
            cells *= 1 if name in effect else values.shape[axis]
            degrees *= values.shape[axis] - 1 if name in effect else 1
        found[effect] = without_dust(cells * float((part**2).sum()) / degrees)
    return found


def _test(top: float, bottom: float, df1: int, df2: float) -> EqualityTest:
    f = top / bottom if bottom > 0 else math.nan
    return EqualityTest(f, df1, df2, f_tail(f, df1, df2))
