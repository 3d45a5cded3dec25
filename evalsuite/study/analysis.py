"""What a dose study says: gains, saturation, exchange rates and laws, for all and for each group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.fairness import predictions
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.stats import hypothesis_tests
from evalsuite.study import arm as arms
from evalsuite.study import dose, run_arms, scaling_laws
from evalsuite.study.design import Design, read_design
from evalsuite.study.dose import Exchange, Saturation
from evalsuite.study.paired_scores import MIN_ITEMS, Resamples, Score, correct, resamples
from evalsuite.study.scaling_laws import Fit

ALL = "all"


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
    verdict: str


@dataclass(frozen=True)
class Line:
    """One arm's score over seeds and test items; kind is `real`, `mix` or a control."""

    group: str
    kind: str
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
    saturations, exchanges
        By (group, strategy, size).
    laws
        By (group, strategy): the candidate laws, the chosen one first.
    reference
        The dose at which the family of verdicts is judged.
    """

    design: Design
    groups: tuple[str, ...]
    lines: tuple[Line, ...]
    gains: tuple[Gain, ...]
    saturations: dict[tuple[str, str | None, int], Saturation]
    exchanges: dict[tuple[str, str | None, int], Exchange]
    laws: dict[tuple[str, str | None], list[Fit]]
    reference: float
    notes: tuple[str, ...]
    leakage: tuple[str, ...]

    def flat(self) -> list[int]:
        """Sizes whose last doubling showed no gain in all, for any strategy."""
        return [
            size
            for size in self.design.sizes
            if all(
                self.saturations[ALL, s, size].steps[-1].is_flat
                for s in self.design.strategies
                if self.saturations[ALL, s, size].steps
            )
        ]


def analyse(folder: Path, *, n_boot: int = 500, tick: Callable[[int], None] | None = None) -> Analysis:
    """Read all predictions of a study and draw its conclusions.

    Raises
    ------
    UserError
        An arm is missing, or arms were tested on different images.
    """
    design = read_design(folder)
    base = _table(folder, design, design.arms()[0])
    draws = resamples(base, design.seeds, n_boot)
    masks = _masks(base)
    scored: dict[tuple[str, str | None, int, float], dict[str, Score]] = {}
    for kind, strategy, size, ratio in cells(design):
        right = [
            correct(_table(folder, design, design.arm(kind, size, ratio, strategy, seed)), base)  # type: ignore[arg-type]
            for seed in range(design.seeds)
        ]
        scored[kind, strategy, size, ratio] = {g: draws.score(right, mask, design.metric) for g, mask in masks.items()}
        if tick:
            tick(1)
    reference = _reference(design)
    groups = tuple(masks)
    gains = _holm([g for group in groups for g in _gains(design, scored, group)], reference)
    results = [_result(folder, arm) for arm in design.arms()]
    return Analysis(
        design,
        groups,
        tuple(_lines(scored, groups)),
        tuple(gains),
        _saturations(design, scored, groups),
        _exchanges(design, scored, groups, reference),
        _laws(design, scored, groups),
        reference,
        tuple(dict.fromkeys(_notes(design, draws) + [n for r in results for n in r.notes])),
        tuple(dict.fromkeys([*design.leakage, *(t for r in results for t in r.leakage)])),
    )


def cells(design: Design) -> list[tuple[str, str | None, int, float]]:
    """(kind, strategy, size, ratio) of everything that has a score."""
    seen = dict.fromkeys((a.kind, a.strategy, a.n_real, a.ratio) for a in design.arms())
    return list(seen)


def _table(folder: Path, design: Design, arm: arms.Arm) -> Predictions:
    path = folder / run_arms.FOLDER / arm.name / arms.PREDICTIONS
    if not path.is_file():
        raise UserError(f"{path} is missing; run the same `evalsuite study` again, it goes on")
    return predictions.load(path)


def _result(folder: Path, arm: arms.Arm) -> arms.Result:
    return arms.Result.model_validate_json((folder / run_arms.FOLDER / arm.name / arms.RESULT).read_bytes())


def _masks(base: Predictions) -> dict[str, NDArray[np.bool_]]:
    """Items of all and of each skin type."""
    masks = {ALL: np.ones(base.n, dtype=bool)}
    if "group" in base.groups and base.groups["group"].nunique() > 1:
        column = base.groups["group"].to_numpy(str)
        masks |= {g: column == g for g in levels(column.tolist()) if g != ALL}
    return masks


Scored = dict[tuple[str, str | None, int, float], dict[str, Score]]


def _mixed(design: Design, scored: Scored, group: str, strategy: str | None, size: int) -> list[tuple[float, Score]]:
    """(ratio, score) of a size, from real only up."""
    return [(r, scored["mix" if r else "real", strategy if r else None, size, r][group]) for r in design.doses[size]]


def _gains(design: Design, scored: Scored, group: str) -> list[Gain]:
    found = []
    for strategy in design.strategies:
        for size in design.sizes:
            (_, real), *mixed = _mixed(design, scored, group, strategy, size)
            for ratio, score in mixed:
                gain = score.minus(real)
                low, high = gain.interval()
                enough = score.n >= MIN_ITEMS
                found.append(
                    Gain(
                        group,
                        strategy,
                        size,
                        ratio,
                        score.n,
                        gain.value,
                        low,
                        high,
                        gain.p(),
                        math.nan,
                        dose.verdict(gain.value, low, high, design.margin, enough),
                    )
                )
    return found


def _holm(gains: list[Gain], reference: float) -> list[Gain]:
    """Within the family (groups x sizes at the reference dose) a verdict must survive Holm's correction."""
    family = [i for i, g in enumerate(gains) if g.ratio == reference and math.isfinite(g.p)]
    if not family:
        return gains
    adjusted = hypothesis_tests.holm(np.array([gains[i].p for i in family]))
    out = list(gains)
    for i, p in zip(family, adjusted, strict=True):
        sure = p < 0.05 or gains[i].verdict not in ("helps", "hurts")
        out[i] = replace(gains[i], p_holm=float(p), verdict=gains[i].verdict if sure else "cannot be told")
    return out


def _lines(scored: Scored, groups: Sequence[str]) -> list[Line]:
    lines = []
    for (kind, strategy, size, ratio), by_group in scored.items():
        for group in groups:
            s = by_group[group]
            low, high = s.interval()
            lines.append(Line(group, kind, strategy, size, ratio, s.n, s.value, low, high, tuple(s.by_seed.tolist())))
    return lines


def _saturations(
    design: Design, scored: Scored, groups: Sequence[str]
) -> dict[tuple[str, str | None, int], Saturation]:
    found = {}
    for group in groups:
        for strategy in design.strategies:
            for size in design.sizes:
                points = _mixed(design, scored, group, strategy, size)
                found[group, strategy, size] = dose.saturation(
                    [r for r, _ in points],
                    [(b.value - a.value, *b.minus(a).interval()) for (_, a), (_, b) in itertools.pairwise(points)],
                )
    return found


def _exchanges(
    design: Design, scored: Scored, groups: Sequence[str], reference: float
) -> dict[tuple[str, str | None, int], Exchange]:
    """For each size at the reference dose; none where the real-only curve has fewer than four sizes."""
    found: dict[tuple[str, str | None, int], Exchange] = {}
    if len(design.sizes) < 4:
        return found
    sizes = np.array(design.sizes, float)
    for group in groups:
        real = [scored["real", None, n, 0.0][group] for n in design.sizes]
        samples = np.stack([s.widened() for s in real])
        for strategy in design.strategies:
            for size in design.sizes:
                if reference not in design.doses[size]:
                    continue
                mixed = scored["mix", strategy, size, reference][group]
                found[group, strategy, size] = dose.exchange(
                    sizes,
                    np.array([s.value for s in real]),
                    samples,
                    size,
                    size * reference,
                    mixed.value,
                    mixed.widened(),
                )
    return found


def _laws(design: Design, scored: Scored, groups: Sequence[str]) -> dict[tuple[str, str | None], list[Fit]]:
    found = {}
    for group in groups:
        for strategy in design.strategies:
            points = [
                (size, size * r, s.value, max(float(s.samples.var(ddof=1)), 1e-6))
                for size in design.sizes
                for r, s in _mixed(design, scored, group, strategy, size)
            ]
            n, s, score, var = (np.array(v, float) for v in zip(*points, strict=True))
            if len(points) >= 4:
                found[group, strategy] = scaling_laws.compare_laws(n, s, score, 1 / var)
    return found


def _reference(design: Design) -> float:
    """The dose nearest to `controls_at` that every size has, else the largest any has."""
    common = set.intersection(*(set(r) for r in design.doses.values())) - {0.0}
    present = common or {r for ratios in design.doses.values() for r in ratios if r}
    return min(present, key=lambda r: (abs(r - design.controls_at), r))


def _notes(design: Design, draws: Resamples) -> list[str]:
    said = [
        f"All arms made {design.recipe.steps} optimiser steps of {design.recipe.batch} images, whatever their "
        "number of images; the control with fewer steps shows what that changes."
    ]
    said += design.notes
    if design.recipe.tuning == "features":
        said.append(
            "Features were computed once from images as they are: nothing is augmented, and there is no "
            "RandAugment control."
        )
    if design.seeds == 1:
        said.append("One seed: the intervals cover the test images, not the luck of training.")
    elif design.seeds < 5:
        said.append(f"{design.seeds} seeds: too few to know well how much luck there is; five are usual.")
    if len(design.sizes) < 4:
        said.append(
            "Fewer than four numbers of real images: no exchange rate, since the real-only curve has three parameters."
        )
    return said
