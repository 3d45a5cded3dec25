"""What a study's predictions show: gains, saturation, exchange rates and laws, for all and for each group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evalsuite.study import dose, exchange, scaling_laws
from evalsuite.study.arm import EXTERNAL, Result
from evalsuite.study.arm_scores import ALL, Cell, Place, Scores, arm_result, read_scores
from evalsuite.study.design import Design, read_design
from evalsuite.study.dose import Further, Saturation
from evalsuite.study.exchange import Exchange, LearningCurve
from evalsuite.study.gains import Contrast, Gain, contrasts, gains
from evalsuite.study.kinds import Kind
from evalsuite.study.luck import Luck
from evalsuite.study.paired_scores import Score, slope
from evalsuite.study.scaling_laws import Fit
from evalsuite.study.skin_type_gap import SkinTypeGap, skin_type_gap


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
class External:
    """The same arms on the external test images."""

    lacking: dict[str, str]
    lines: tuple[Line, ...]
    gains: tuple[Gain, ...]
    contrasts: tuple[Contrast, ...]


@dataclass(frozen=True)
class Analysis:
    """A study's findings.

    Attributes
    ----------
    lacking
        What lacks for a verdict on a group, in words; empty where nothing does.
    contrasts
        Paired differences against the controls, and between strategies.
    gaps
        The largest difference between skin types of each cell (kind, strategy, size, ratio), over all seeds.
    further
        What the doses above the reference bring, where there are such.
    exchanges
        Of the groups that nothing lacks for and that more real images help.
    laws
        Of the groups that nothing lacks for: the candidates by (group, strategy), the best one first.
    results
        What training each arm reported.
    lucks
        Of each cell with several generators: what differs between them and between seeds.
    external
        What holds on the external test images; None where there are none.
    """

    design: Design
    groups: tuple[str, ...]
    lacking: dict[str, str]
    lines: tuple[Line, ...]
    gains: tuple[Gain, ...]
    contrasts: tuple[Contrast, ...]
    gaps: dict[Cell, SkinTypeGap | None]
    saturations: dict[Place, Saturation]
    further: dict[Place, Further]
    exchanges: dict[Place, Exchange]
    laws: dict[tuple[str, str | None], list[Fit]]
    results: tuple[Result, ...]
    lucks: dict[Cell, Luck]
    external: External | None = None

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


def analyse(folder: Path, *, n_boot: int = 500, tick: Callable[[int], None] | None = None) -> Analysis:
    """Read all predictions of a study or a run and draw its conclusions.

    Raises
    ------
    UserError
        An arm is missing, or arms were tested on different images.
    """
    design = read_design(folder)
    results = tuple(arm_result(folder, arm) for arm in design.arms())
    scores = read_scores(folder, design, n_boot, tick)
    return Analysis(
        design,
        scores.groups,
        scores.lacking,
        tuple(_lines(scores)),
        tuple(gains(scores)),
        tuple(contrasts(scores)),
        {cell: skin_type_gap({g: s for g, s in of.items() if g != ALL}) for cell, of in scores.of.items()},
        {place: _saturation(scores, place) for place in scores.places()},
        {place: found for place in scores.places() if (found := _further(scores, place))},
        _exchanges(scores),
        _laws(scores),
        results,
        scores.lucks,
        None if design.places.external is None else _external(read_scores(folder, design, n_boot, None, EXTERNAL)),
    )


def _external(scores: Scores) -> External:
    return External(scores.lacking, tuple(_lines(scores)), tuple(gains(scores)), tuple(contrasts(scores)))


def _lines(scores: Scores) -> list[Line]:
    return [
        Line(group, kind, strategy, size, ratio, s.n, s.value, *s.interval(), tuple(s.by_seed.tolist()))
        for (kind, strategy, size, ratio), by_group in scores.of.items()
        for group, s in by_group.items()
    ]


def saturation_of(ratios: Sequence[float], scores: Sequence[Score], margin: float) -> Saturation:
    """Beyond which dose more brings no relevant gain, by the scores of the same test images at each; the first is 0."""
    x = np.cumsum([0.0, *itertools.starmap(dose.doublings, itertools.pairwise(ratios))])
    steps = [b.minus(a) for a, b in itertools.pairwise(scores)]
    in_all = [score.minus(scores[0]) for score in scores[1:]]
    tails = [slope(x[k:], scores[k:]) for k in range(len(steps))]
    gains_of = [[(change.value, *change.interval()) for change in changes] for changes in (steps, in_all)]
    return dose.saturation(ratios, gains_of[0], margin, tails, gains_of[1])


def _saturation(scores: Scores, place: Place) -> Saturation:
    points, margin = scores.doses(place), scores.design.margin
    ratios, of = [r for r, _ in points], [score for _, score in points]
    found = saturation_of(ratios, of, margin)
    if lacks := scores.lacking[place[0]]:
        return replace(found, ratio=math.nan, status="not enough data", tail=None, lacking=lacks)
    if found.status != "cannot be determined" or len(of) < 2:
        return found
    relevant = margin * dose.doublings(*ratios[-2:])
    return replace(found, needed=of[-1].minus(of[-2]).needed(relevant / dose.ERRORS_IN_MARGIN))


def _further(scores: Scores, place: Place) -> Further | None:
    start, of = scores.design.reference, dict(scores.doses(place))
    if start not in of or (end := max(of)) <= start or scores.lacking[place[0]]:
        return None
    change = of[end].minus(of[start])
    return Further(start, end, change.value, *change.interval())


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
