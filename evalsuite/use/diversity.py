"""How much of the real images each side covers, and how many distinct images it holds: in all and per class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from evalsuite.images.features.extract import Features
from evalsuite.images.image_data import families
from evalsuite.images.quality.prdc import in_balls
from evalsuite.images.quality.vendi import vendi_score
from evalsuite.stats.half_samples import Rows, Sampled, sampled
from evalsuite.stats.resampling import Array
from evalsuite.use.comparison import Comparison, least_variance, sampled_change, too_few

#: Neighbours of a ball of precision and recall (as `prdc`).
K = 5
MEASURES = ("recall", "coverage", "vendi")


def diversity(
    real: Features, teacher: Features, student: Features, *, max_n: int = 1000, draws: int = 200, seed: int = 0
) -> Iterator[Comparison]:
    """Recall, coverage and Vendi score against real images, student over teacher, in all images and in each class.

    Both sides have equally many images, as these numbers grow with n. Of more than `max_n` images of a side so many are
    drawn by the seed, of both the same rows. Features are standardised by the real images: where all numbers of all
    images are positive, as spreads and levels are, cosines are all near 1, and nine images are as diverse as ninety.
    """
    known = real.take()
    centre, scale = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6)
    classes, sets = sorted(set(teacher.frame["class"])), (real, teacher, student)
    for label in (None, *classes):
        sides = [_of_class(of, label, max_n, seed) for of in sets]
        of_family = [families(of.frame.iloc[rows], real.frame) for of, rows in zip(sets, sides, strict=True)]
        values = [(of.take(rows) - centre) / scale for of, rows in zip(sets, sides, strict=True)]
        n, end = min(map(len, sides)), "" if label is None else "_class"
        lacking = next(filter(None, map(too_few, of_family)), "")
        found = _unknown() if lacking else sampled(_statistics(*values), *of_family, draws=draws, seed=seed)
        for at, measure in enumerate(MEASURES):
            least = 0.0 if measure == "vendi" else least_variance(of_family[0])
            yield sampled_change(measure + end, label or "all", n, found, 2 * at, lacking, least)


def _of_class(of: Features, label: str | None, max_n: int, seed: int) -> Rows:
    rows = np.arange(len(of.frame)) if label is None else np.flatnonzero(of.frame["class"] == label)
    return rows if len(rows) <= max_n else np.sort(np.random.default_rng(seed).choice(rows, max_n, replace=False))


def _unknown() -> Sampled:
    k = 2 * len(MEASURES)
    return Sampled(np.full(k, np.nan), np.full((k, k), np.nan), 1.0)


def _statistics(real: Array, teacher: Array, student: Array) -> Callable[..., Sequence[float]]:
    """Recall, coverage and Vendi score of teacher and of student, of some rows of each set."""

    def found(of_real: Rows, of_teacher: Rows, of_student: Rows) -> list[float]:
        known, one, other = real[of_real], teacher[of_teacher], student[of_student]
        (_, recalled, covered), (_, recalled_too, covered_too) = (in_balls(known, side, k=K) for side in (one, other))
        shares = [float(part.mean()) for part in (recalled, recalled_too, covered, covered_too)]
        return [*shares, vendi_score(one), vendi_score(other)]

    return found
