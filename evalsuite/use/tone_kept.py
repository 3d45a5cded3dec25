"""Skin tone of student and teacher: how many images show one, its order, and its place, range and spread per group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from dermforge.common.missing import UNKNOWN
from dermforge.common.skin_tone import in_order
from evalsuite.images.image_data import families
from evalsuite.stats.half_samples import Rows, sampled
from evalsuite.stats.intervals import undefined
from evalsuite.use.comparison import Comparison, least_variance, sampled_change, share_change, too_few


def tone_kept(
    teacher: pd.DataFrame,
    student: pd.DataFrame,
    parents: pd.DataFrame,
    *,
    paired: bool,
    draws: int = 200,
    seed: int = 0,
) -> Iterator[Comparison]:
    """Every comparison of tone.

    Parameters
    ----------
    teacher, student
        Their images as `evalsuite.images.tone.tone_table.image_table` measured them.
    parents
        The real images that synthetic ones may have been made from.
    """
    of = [families(frame, parents) for frame in (teacher, student)]
    groups = in_order({str(name) for name in teacher["group"].dropna()} - {UNKNOWN})
    for group in ("all", *groups):
        rows = [_rows(frame, group) for frame in (teacher, student)]
        seen = [
            (frame["ita"].notna().to_numpy()[some], own[some])
            for frame, own, some in zip((teacher, student), of, rows, strict=True)
        ]
        yield share_change("tone_measured", group, *seen, paired_rows=paired)
    yield _order(teacher, student, of, draws, seed)
    for group in groups:
        yield from _in_group(teacher, student, of, group, draws, seed)


def _rows(frame: pd.DataFrame, group: str) -> Rows:
    return np.arange(len(frame)) if group == "all" else np.flatnonzero(frame["group"] == group)


def _order(teacher: pd.DataFrame, student: pd.DataFrame, of: Sequence[np.ndarray], draws: int, seed: int) -> Comparison:
    """Spearman's correlation of requested and measured tone, +1 for the perfect order.

    Where no image is out of order no half sample has another correlation. Twenty such images do not show that one in
    twenty would not be, so that the correlation has at least the error of a share.
    """
    sides, known = [], []
    for frame, own in zip((teacher, student), of, strict=True):
        rows = np.flatnonzero(frame["ita"].notna() & frame["requested"].notna())
        sides.append(frame.iloc[rows][["requested", "ita"]].to_numpy(np.float64))
        known.append(own[rows])
    n = min(map(len, sides))
    lacking = next(filter(None, (too_few(own, "images with a measured tone") for own in known)), "")
    if any(len(np.unique(side[:, 0])) < 2 for side in sides):
        lacking = "fewer than two requested tones are known"
    if lacking:
        return Comparison("tone_order", "all", n, np.nan, np.nan, np.nan, undefined, lacking)

    def found(one: Rows, other: Rows) -> list[float]:
        return [_spearman(side[rows]) for side, rows in zip(sides, (one, other), strict=True)]

    least = least_variance(min(known, key=lambda own: len(set(own))))
    return sampled_change("tone_order", "all", n, sampled(found, *known, draws=draws, seed=seed), 0, "", least)


def _spearman(values: np.ndarray) -> float:
    varied = len(values) > 1 and (np.ptp(values, axis=0) > 0).all()
    return float(-spearmanr(values[:, 0], values[:, 1])[0]) if varied else float("nan")


def _in_group(
    teacher: pd.DataFrame, student: pd.DataFrame, of: Sequence[np.ndarray], group: str, draws: int, seed: int
) -> Iterator[Comparison]:
    """Mean angle, the range from its 5th to its 95th percentile, and its standard deviation."""
    sides, known = [], []
    for frame, own in zip((teacher, student), of, strict=True):
        rows = np.flatnonzero(((frame["group"] == group) & frame["ita"].notna()).to_numpy())
        sides.append(frame["ita"].to_numpy(np.float64)[rows])
        known.append(own[rows])
    n = min(map(len, sides))
    lacking = next(filter(None, (too_few(own, "images with a measured tone") for own in known)), "")
    names = ("tone_degrees", "tone_range", "tone_spread")
    if lacking:
        yield from (Comparison(name, group, n, np.nan, np.nan, np.nan, undefined, lacking) for name in names)
        return

    def found(one: Rows, other: Rows) -> list[float]:
        parts = [side[rows] for side, rows in zip(sides, (one, other), strict=True)]
        return [measure(part) for measure in STATISTICS for part in parts]

    drawn = sampled(found, *known, draws=draws, seed=seed)
    for at, name in enumerate(names):
        yield sampled_change(name, group, n, drawn, 2 * at, "")


def _range(angles: np.ndarray) -> float:
    low, high = np.quantile(angles, [0.05, 0.95])
    return float(high - low)


def _spread(angles: np.ndarray) -> float:
    return float(angles.std(ddof=1)) if len(angles) > 1 else float("nan")


STATISTICS: tuple[Callable[[np.ndarray], float], ...] = (lambda angles: float(angles.mean()), _range, _spread)
