"""A row of a certificate before it is judged: what student and teacher have, and the interval of the change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dermforge.common.least_numbers import QUALITY_IMAGES
from dermforge.common.use_certificate import Row
from evalsuite.stats import clusters, equivalence, paired
from evalsuite.stats.equivalence import Margin, confidence_of
from evalsuite.stats.half_samples import Sampled
from evalsuite.stats.intervals import Bounds, clopper_pearson, quantile_of, undefined, wilson
from evalsuite.stats.intervals import student as student_t
from evalsuite.stats.largest_difference import Side, mover
from evalsuite.stats.resampling import codes_of
from evalsuite.use.margins import RATIOS

Families = NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """Student against teacher in one measure.

    Attributes
    ----------
    measure, cell
        The name of a margin, and the images: "all", a class or a skin type.
    value, bounds
        Student less teacher, or student over teacher, and its interval at any confidence.
    lacking
        Why nothing may be said; empty where something may.
    note
        What else there is to know.
    """

    measure: str
    cell: str
    n: int
    teacher: float
    student: float
    value: float
    bounds: Bounds
    lacking: str = ""
    note: str = ""

    @property
    def scale(self) -> Literal["difference", "ratio"]:
        return "ratio" if self.measure in RATIOS else "difference"


def judged(found: Sequence[Comparison], margins: Callable[[str], Margin]) -> list[Row]:
    """The rows with their verdicts. What is not enough for a verdict is shown without an interval."""
    return [_judged(one, margins(one.measure), len(found)) for one in found]


def _judged(one: Comparison, margin: Margin, rows: int) -> Row:
    bounds = undefined if one.lacking else one.bounds
    low, high = bounds(confidence_of())
    verdict = equivalence.judge(bounds, margin, rows)
    note = "; ".join(filter(None, [one.lacking, one.note]))
    if not math.isfinite(low) and not note:
        note = "not enough data"
    numbers = (one.teacher, one.student, one.value, low, high)
    return Row(
        measure=one.measure,
        cell=one.cell,
        scale=one.scale,
        n=one.n,
        **dict(zip(("teacher", "student", "value", "low", "high"), map(_finite, numbers), strict=True)),
        least=margin.low,
        most=margin.high,
        verdict=verdict,
        note=note,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def too_few(families: Families, what: str = "images") -> str:
    """What lacks for a verdict on some images, in words; those of one family count as one."""
    n = len(set(families))
    return f"{n} {what} of different sources, at least {QUALITY_IMAGES} are needed" if n < QUALITY_IMAGES else ""


def share_change(
    measure: str,
    cell: str,
    teacher: tuple[NDArray[np.bool_], Families],
    student: tuple[NDArray[np.bool_], Families],
    *,
    paired_rows: bool,
) -> Comparison:
    """Two shares of hits, each with the families of its images: Tango's interval for pairs, else MOVER of Wilson's.

    Where hits are only won or only lost, or one side has none or all, the exact interval of a share (Clopper & Pearson)
    bounds the change: at the very margin the others let up to 7 % pass there, not 5.

    Parameters
    ----------
    paired_rows
        Row i of both sides is one row of the plan.
    """
    (before, of_before), (after, of_after) = teacher, student
    n = min(len(before), len(after))
    lacking = too_few(of_before if len(set(of_before)) < len(set(of_after)) else of_after)
    if n == 0:
        return Comparison(measure, cell, 0, math.nan, math.nan, math.nan, undefined, lacking)
    values = float(before.mean()), float(after.mean())
    bounds = _paired(before, after, of_before) if paired_rows else _apart(teacher, student)
    return Comparison(measure, cell, n, *values, values[1] - values[0], bounds, lacking)


def _paired(before: NDArray[np.bool_], after: NDArray[np.bool_], families: Families) -> Bounds:
    steps, n = after.astype(np.float64) - before, len(before)
    effect, degrees = clusters.design(steps, codes_of(families, n))
    lost, won, quantile = float((steps < 0).sum()), float((steps > 0).sum()), quantile_of(degrees, n)

    def bounds(confidence: float) -> tuple[float, float]:
        low, high = paired.tango(lost, won, n, confidence, effect, quantile)
        if not won:
            low = min(low, -clopper_pearson(lost, n, confidence, effect, quantile)[1])
        if not lost:
            high = max(high, clopper_pearson(won, n, confidence, effect, quantile)[1])
        return low, high

    return bounds


def _apart(teacher: tuple[NDArray[np.bool_], Families], student: tuple[NDArray[np.bool_], Families]) -> Bounds:
    def side(hits: NDArray[np.bool_], of: Families, other: NDArray[np.bool_]) -> Side:
        n = len(hits)
        effect, degrees = clusters.design(hits.astype(np.float64), codes_of(of, n))
        interval = wilson if len(set(other)) > 1 else clopper_pearson
        return Side(float(hits.mean()), lambda level: interval(int(hits.sum()), n, level, effect, student_t(degrees)))

    one, other = side(*student, teacher[0]), side(*teacher, student[0])
    return lambda confidence: mover(one, other, confidence)


def least_variance(families: Families) -> float:
    """Of a share of n families of which all agree: 1 / (n + 2)^2, as Laplace's rule takes it for (n + 1) / (n + 2)."""
    return 1 / (len(set(families)) + 2) ** 2


def sampled_change(
    measure: str, cell: str, n: int, found: Sampled, at: int, lacking: str, least: float = 0.0
) -> Comparison:
    """The change of a statistic: the values at `at` (teacher) and `at + 1` (student) of what was sampled.

    Parameters
    ----------
    least
        Variance of either value, at least (`least_variance`): a few images that agree are no proof.
    """
    teacher, student = map(float, found.values[at : at + 2])
    covariance = found.covariance[at : at + 2, at : at + 2]
    before, after, both = float(covariance[0, 0]), float(covariance[1, 1]), float(covariance[0, 1])
    before, after = max(before, least), max(after, least)
    base = Comparison(measure, cell, n, teacher, student, math.nan, undefined, lacking)
    if base.scale == "ratio":
        bounds = equivalence.ratio_bounds(student, teacher, (after, before), both, found.degrees)
        return replace(base, value=student / teacher if teacher else math.nan, bounds=bounds)
    variance = max(before + after - 2 * both, 2 * least)
    return replace(
        base, value=student - teacher, bounds=equivalence.by_student(student - teacher, variance, found.degrees)
    )
