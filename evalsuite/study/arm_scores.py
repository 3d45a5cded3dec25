"""The scores of all arms of a study in all groups, under the same resamples."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN
from evalsuite.fairness import predictions
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.study import arm as arms
from evalsuite.study import run_arms
from evalsuite.study.arm import Arm, Result
from evalsuite.study.design import Design
from evalsuite.study.kinds import WITHOUT_DOSE, WITHOUT_STRATEGY, Kind
from evalsuite.study.luck import Luck, luck
from evalsuite.study.outcomes import counted, outcome
from evalsuite.study.paired_scores import Score, mean_of, resamples

ALL = "all"
Place = tuple[str, str | None, int]  # group, strategy, size
Cell = tuple[Kind, str | None, int, float]  # kind, strategy, size, ratio


@dataclass(frozen=True)
class Scores:
    """The score of every arm in every group: by (kind, strategy, size, ratio), then by group.

    Attributes
    ----------
    lucks
        In all, of arms with several generators.
    """

    design: Design
    of: dict[Cell, dict[str, Score]]
    lucks: dict[Cell, Luck]

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

    def control(self, kind: Kind, place: Place, ratio: float) -> Score | None:
        """The arm of a kind that is compared with the mixed one at a dose; None where there is none at this dose."""
        group, strategy, size = place
        if kind == "all-real":
            size, ratio = 0, 0.0
        elif kind in WITHOUT_DOSE:
            ratio = self.design.control_ratio(size)
        found = self.of.get((kind, None if kind in WITHOUT_STRATEGY else strategy, size, ratio))
        return None if found is None else found[group]


def read_scores(
    folder: Path, design: Design, n_boot: int, tick: Callable[[int], None] | None = None, name: str = arms.PREDICTIONS
) -> Scores:
    """Read the predictions of all arms, on the test images or (by the file's name) on others.

    Raises
    ------
    UserError
        An arm is missing, or arms were tested on different images.
    """
    base = arm_predictions(folder, design.arms()[0], name)
    draws, found = resamples(base, design.seeds, n_boot, group=design.groups), {}
    lucks: dict[Cell, Luck] = {}
    masks = {g: mask & counted(design.metric, base) for g, mask in group_masks(base, design.groups).items()}
    for kind, strategy, size, ratio in cells(design):
        made = [design.trained(kind, size, ratio, strategy, seed) for seed in range(design.seeds)]
        by_generator = [
            [outcome(arm_predictions(folder, arm, name), base, design.metric) for arm in of]
            for of in zip(*made, strict=True)
        ]
        each = {g: [draws.score(of, mask, design.metric) for of in by_generator] for g, mask in masks.items()}
        found[kind, strategy, size, ratio] = {g: mean_of(scores) for g, scores in each.items()}
        if len(by_generator) > 1:
            lucks[kind, strategy, size, ratio] = luck(np.stack([one.by_seed for one in each[ALL]], axis=1))
        if tick:
            tick(1)
    return Scores(design, found, lucks)


def cells(design: Design) -> list[Cell]:
    """(kind, strategy, size, ratio) of everything that has a score."""
    return list(dict.fromkeys((a.kind, a.strategy, a.n_real, a.ratio) for a in design.arms()))


def arm_predictions(folder: Path, arm: Arm, name: str = arms.PREDICTIONS) -> Predictions:
    """The predictions of a finished arm."""
    return predictions.load(_file(folder, arm, name))


def arm_result(folder: Path, arm: Arm) -> Result:
    """What training an arm reported."""
    return arms.read_result(_file(folder, arm, arms.RESULT))


def _file(folder: Path, arm: Arm, name: str) -> Path:
    path = folder / run_arms.FOLDER / arm.name / name
    if not path.is_file():
        raise UserError(f"{path} is missing; run the same command again: it resumes")
    return path


def group_masks(base: Predictions, column: str = "group") -> dict[str, NDArray[np.bool_]]:
    """Items of all and of each group of a column; a missing value is no group."""
    masks = {ALL: np.ones(base.n, dtype=bool)}
    if column in base.groups and base.groups[column].nunique() > 1:
        values = base.groups[column].to_numpy(str)
        masks |= {g: values == g for g in levels(values.tolist()) if g not in (ALL, UNKNOWN)}
    return masks
