"""What a study's predictions show: gains, saturation, exchange rates and laws, for all and for each group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN
from evalsuite.fairness import predictions
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.stats import hypothesis_tests
from evalsuite.stats.verdict import Verdict, verdict
from evalsuite.study import arm as arms
from evalsuite.study import dose, exchange, run_arms, scaling_laws
from evalsuite.study.arm import Arm, Kind, Result
from evalsuite.study.design import Design, read_design
from evalsuite.study.dose import Saturation
from evalsuite.study.exchange import Exchange, LearningCurve
from evalsuite.study.paired_scores import Score, correct, resamples, slope
from evalsuite.study.scaling_laws import Fit
from evalsuite.study.skin_type_gap import SkinTypeGap, skin_type_gap

ALL = "all"
Place = tuple[str, str | None, int]  # group, strategy, size
Cell = tuple[Kind, str | None, int, float]  # kind, strategy, size, ratio


@dataclass(frozen=True)
class Gain:
    """A dose against real images only, in one group: points of score, paired.

    Attributes
    ----------
    p_holm
        Holm's p over the groups and sizes at the reference dose, the family named in advance; NaN elsewhere.
    """

    group: str
    strategy: str | None
    size: int
    ratio: float
    n: int
    value: float
    low: float
    high: float
    p: float
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True)
class Line:
    """One arm's score over seeds and test items; kind is `real`, `mix` or a control."""

    group: str
    kind: Kind
    strategy: str | None
    size: int
    ratio: float
    n: int
    score: float
    low: float
    high: float
    by_seed: tuple[float, ...]


@dataclass(frozen=True)
class Analysis:
    """A study's findings.

    Attributes
    ----------
    lacking
        What lacks for a verdict on a group, in words; empty where nothing does.
    gaps
        The largest difference between skin types of each cell (kind, strategy, size, ratio), over all seeds.
    exchanges
        Of the groups that nothing lacks for and that more real images help.
    laws
        Of the groups that nothing lacks for: the candidates by (group, strategy), the best one first.
    results
        What training each arm reported.
    """

    design: Design
    groups: tuple[str, ...]
    lacking: dict[str, str]
    lines: tuple[Line, ...]
    gains: tuple[Gain, ...]
    gaps: dict[Cell, SkinTypeGap | None]
    saturations: dict[Place, Saturation]
    exchanges: dict[Place, Exchange]
    laws: dict[tuple[str, str | None], list[Fit]]
    results: tuple[Result, ...]

    @property
    def reference(self) -> float:
        """The dose at which the family of verdicts is judged."""
        return self.design.reference

    @property
    def leakage(self) -> list[str]:
        """Leaks that were allowed, each once."""
        return list(dict.fromkeys([*self.design.leakage, *(text for r in self.results for text in r.leakage)]))

    @property
    def notes(self) -> list[str]:
        """What the design and the arms have noted, each sentence once."""
        return list(dict.fromkeys([*self.design.notes, *(text for r in self.results for text in r.notes)]))

    def flat(self) -> list[int]:
        """Sizes whose last doses exclude a relevant gain in all, for every strategy."""
        found = {size: [self.saturations[ALL, s, size] for s in self.design.strategies] for size in self.design.sizes}
        return [size for size, of in found.items() if all(math.isfinite(s.ratio) for s in of)]


@dataclass(frozen=True)
class Scores:
    """The score of every arm in every group: by (kind, strategy, size, ratio), then by group."""

    design: Design
    of: dict[Cell, dict[str, Score]]

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(next(iter(self.of.values())))

    @property
    def lacking(self) -> dict[str, str]:
        """What lacks for a verdict on each group: all arms have the same test images and seeds."""
        return {group: score.lacking for group, score in next(iter(self.of.values())).items()}

    def places(self) -> list[Place]:
        """Every group, strategy and size."""
        return list(itertools.product(self.groups, self.design.strategies, self.design.sizes))

    def doses(self, place: Place) -> list[tuple[float, Score]]:
        """(ratio, score) from real images only up."""
        group, strategy, size = place
        return [
            (r, self.of["mix" if r else "real", strategy if r else None, size, r][group])
            for r in self.design.doses[size]
        ]


def analyse(folder: Path, *, n_boot: int = 500, tick: Callable[[int], None] | None = None) -> Analysis:
    """Read all predictions of a study or a run and draw its conclusions.

    Raises
    ------
    UserError
        An arm is missing, or arms were tested on different images.
    """
    design = read_design(folder)
    results = tuple(arm_result(folder, arm) for arm in design.arms())
    scores = _scores(folder, design, n_boot, tick)
    return Analysis(
        design,
        scores.groups,
        scores.lacking,
        tuple(_lines(scores)),
        tuple(_holm([g for place in scores.places() for g in _gains(scores, place)], design.reference)),
        {cell: skin_type_gap({g: s for g, s in of.items() if g != ALL}) for cell, of in scores.of.items()},
        {place: _saturation(scores, place) for place in scores.places()},
        _exchanges(scores),
        _laws(scores),
        results,
    )


def cells(design: Design) -> list[Cell]:
    """(kind, strategy, size, ratio) of everything that has a score."""
    return list(dict.fromkeys((a.kind, a.strategy, a.n_real, a.ratio) for a in design.arms()))


def arm_predictions(folder: Path, arm: Arm, name: str = arms.PREDICTIONS) -> Predictions:
    """The predictions of a finished arm."""
    return predictions.load(_file(folder, arm, name))


def arm_result(folder: Path, arm: Arm) -> Result:
    """What training an arm reported."""
    return Result.model_validate_json(_file(folder, arm, arms.RESULT).read_bytes())


def _file(folder: Path, arm: Arm, name: str) -> Path:
    path = folder / run_arms.FOLDER / arm.name / name
    if not path.is_file():
        raise UserError(f"{path} is missing; run the same command again: it resumes")
    return path


def _scores(folder: Path, design: Design, n_boot: int, tick: Callable[[int], None] | None) -> Scores:
    base = arm_predictions(folder, design.arms()[0])
    draws, masks, found = resamples(base, design.seeds, n_boot), _masks(base), {}
    for kind, strategy, size, ratio in cells(design):
        made = [design.arm(kind, size, ratio, strategy, seed) for seed in range(design.seeds)]
        right = [correct(arm_predictions(folder, arm), base) for arm in made]
        found[kind, strategy, size, ratio] = {g: draws.score(right, mask, design.metric) for g, mask in masks.items()}
        if tick:
            tick(1)
    return Scores(design, found)


def _masks(base: Predictions) -> dict[str, NDArray[np.bool_]]:
    """Items of all and of each skin type; a missing one is no group."""
    masks = {ALL: np.ones(base.n, dtype=bool)}
    if "group" in base.groups and base.groups["group"].nunique() > 1:
        column = base.groups["group"].to_numpy(str)
        masks |= {g: column == g for g in levels(column.tolist()) if g not in (ALL, UNKNOWN)}
    return masks


def _gains(scores: Scores, place: Place) -> list[Gain]:
    (_, real), *mixed = scores.doses(place)
    found = []
    for ratio, score in mixed:
        gain = score.minus(real)
        low, high = gain.interval()
        word = verdict(gain.value, low, high, scores.design.margin, not gain.lacking)
        found.append(Gain(*place, ratio, score.n, gain.value, low, high, gain.p(), math.nan, word))
    return found


def _holm(gains: list[Gain], reference: float) -> list[Gain]:
    """Within the family (judged groups x sizes at the reference dose) a verdict must survive Holm's correction."""
    family = [i for i, g in enumerate(gains) if g.ratio == reference and g.verdict != "not enough data"]
    out, adjusted = list(gains), hypothesis_tests.holm(np.array([gains[i].p for i in family]))
    for i, p in zip(family, adjusted.tolist(), strict=True):
        sure = p < 0.05 or gains[i].verdict not in ("helps", "hurts")
        out[i] = replace(gains[i], p_holm=p, verdict=gains[i].verdict if sure else "cannot be determined")
    return out


def _lines(scores: Scores) -> list[Line]:
    return [
        Line(group, kind, strategy, size, ratio, s.n, s.value, *s.interval(), tuple(s.by_seed.tolist()))
        for (kind, strategy, size, ratio), by_group in scores.of.items()
        for group, s in by_group.items()
    ]


def _saturation(scores: Scores, place: Place) -> Saturation:
    points, margin = scores.doses(place), scores.design.margin
    changes = [b.minus(a) for (_, a), (_, b) in itertools.pairwise(points)]
    ratios, of = [r for r, _ in points], [score for _, score in points]
    x = np.cumsum([0.0, *(dose.doublings(*pair) for pair in itertools.pairwise(ratios))])
    tails = [slope(x[k:], of[k:]) for k in range(len(changes))]
    found = dose.saturation(ratios, [(c.value, *c.interval()) for c in changes], margin, tails)
    if lacks := scores.lacking[place[0]]:
        return replace(found, ratio=math.nan, status="not enough data", tail=None, lacking=lacks)
    if found.status != "cannot be determined" or not changes:
        return found
    return replace(found, needed=changes[-1].needed(margin * float(x[-1] - x[-2]) / dose.ERRORS_IN_MARGIN))


def _exchanges(scores: Scores) -> dict[Place, Exchange]:
    """For each size at the reference dose, of the groups whose real-only curve has four sizes and is shown to rise."""
    design = scores.design
    if len(design.sizes) < 4:
        return {}
    rising = {group for group in scores.groups if _rises(scores, group)}
    found, sizes, reference = {}, np.array(design.sizes, float), design.reference
    for group, strategy, size in scores.places():
        if reference in design.doses[size] and group in rising:
            real = [scores.of["real", None, n, 0.0][group] for n in design.sizes]
            curve = LearningCurve(sizes, np.array([s.value for s in real]), np.stack([s.widened() for s in real]))
            mixed = scores.of["mix", strategy, size, reference][group]
            found[group, strategy, size] = exchange.exchange(
                curve, size, size * reference, mixed.value, mixed.widened()
            )
    return found


def _rises(scores: Scores, group: str) -> bool:
    """Whether more real images help, beyond chance: otherwise a score says nothing of how many there were."""
    sizes = scores.design.sizes
    least, most = (scores.of["real", None, size, 0.0][group] for size in (sizes[0], sizes[-1]))
    return not most.lacking and most.minus(least).interval()[0] > 0


def _laws(scores: Scores) -> dict[tuple[str, str | None], list[Fit]]:
    found = {}
    for group, strategy in itertools.product(scores.groups, scores.design.strategies):
        points = [
            (size, size * r, s.value, max(float(s.samples.var(ddof=1)), 1e-6))
            for size in scores.design.sizes
            for r, s in scores.doses((group, strategy, size))
        ]
        if len(points) >= 4 and not scores.lacking[group]:
            n, s, score, variance = np.array(points, float).T
            found[group, strategy] = scaling_laws.compare_laws(n, s, score, 1 / variance)
    return found
