"""A study as it is fixed before anything is trained: arms over real images x synthetic ratio x strategy x seed.

A run (`evalsuite run`) is a study of one number of real images and one ratio, without controls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dermforge.common.errors import UserError
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json
from evalsuite.study.arm import Arm
from evalsuite.study.kinds import CONTROLS, WITHOUT_DOSE, WITHOUT_STRATEGY, Kind
from evalsuite.study.names import ControlDoses, Metric, Preset
from evalsuite.study.outcomes import is_outcome
from evalsuite.training.data import datasets
from evalsuite.training.recipe import HUB, SCRATCH, Recipe
from shards.format.schema import created_by

PLAN = "plan.json"


@dataclass(frozen=True)
class Grid:
    """What a study varies, and how it is judged.

    Attributes
    ----------
    sizes
        Numbers of real images per class.
    ratios
        Synthetic images for each real one.
    strategies
        Strategies to compare; none: all synthetic images together.
    arms
        The optional kinds of arms.
    generators
        Generators (with other seeds) that were tuned on the real images of each arm.
    controls_at
        Ratio at which verdicts are judged, as near as there is one.
    control_doses
        Train the controls at that ratio only, or at all.
    metric, groups
        The outcome, and the column of test images whose groups are judged.
    margin
        Differences of the score up to this do not matter.
    adaptive
        Start with 1:1 and double the ratio until the gain stops.
    recipe
        Changes to the default recipe.
    """

    sizes: Sequence[int]
    ratios: Sequence[float] = ()
    seeds: int = 1
    strategies: Sequence[str] = ()
    arms: Sequence[Kind] = CONTROLS
    val_fraction: float = 0.0
    generators: int = 1
    controls_at: float = 10.0
    control_doses: ControlDoses = "reference"
    metric: Metric = "accuracy"
    groups: str = "group"
    margin: float = 0.02
    adaptive: bool = False
    recipe: Mapping[str, object] = field(default_factory=dict)


#: `photographs`: the default classifier. `laptop`: a small one that learns phantoms, a quarter of an hour on two
#: cores. `sagers2023`: the grid of arXiv 2308.12453 and its code.
PRESETS: dict[Preset, Grid] = {
    "photographs": Grid(sizes=(4, 8, 16, 32), ratios=(0, 2, 5, 10), seeds=5),
    "sagers2023": Grid(
        sizes=(1, 8, 16, 32, 64, 128, 228),
        ratios=(0, 1, 2, 5, 10, 20, 25, 50, 75),
        seeds=5,
        recipe={
            "model": "tf_efficientnetv2_m",
            "weights": HUB,
            "tuning": "head",
            "size": 224,
            "lr": 1e-3,
            "steps": 1000,
            "batch": 64,
        },
    ),
    "laptop": Grid(
        sizes=(4, 8, 16, 32),
        ratios=(0, 2, 5, 10),
        seeds=3,
        recipe={
            "model": "test_efficientnet",
            "weights": SCRATCH,
            "size": 64,
            "steps": 200,
            "batch": 32,
            "lr": 4e-3,
            "evaluate_every": 40,
        },
    ),
}


class Design(BaseModel):
    """A study or a run.

    Attributes
    ----------
    doses
        Ratios for each number of real images per class (of a run 0: all there are), ascending, beginning with 0.
    controls
        Whether the optional arms are trained too; with `adaptive` they wait for the last dose.
    optional
        The kinds of the optional arms.
    val_fraction
        Share of each arm's own real images that choose its checkpoint; 0: the validation images do.
    generators
        Arms with synthetic images are trained on those of each of so many generators, tuned on the same real images.
    control_doses
        The ratios whose number of steps and images the controls match: the reference, or all. `below`: the largest up
        to `controls_at`, as studies did before there was a choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["run", "study"] = "study"
    places: datasets.Places
    recipe: Recipe
    doses: dict[int, tuple[float, ...]]
    strategies: tuple[str | None, ...] = (None,)
    optional: tuple[Kind, ...] = CONTROLS
    val_fraction: float = Field(default=0.0, ge=0, lt=1)
    generators: int = Field(default=1, ge=1)
    seeds: int = Field(ge=1)
    controls_at: float = Field(default=10.0, gt=0)
    control_doses: Literal["below"] | ControlDoses = "below"
    metric: Metric = "accuracy"
    groups: str = "group"
    margin: float = Field(default=0.02, gt=0, lt=1)
    adaptive: bool = False
    controls: bool = True
    leakage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    created_by: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Design:
        if not is_outcome(self.metric):
            raise ValueError(
                f"the outcome is {self.metric!r}; expected accuracy, balanced_accuracy, auroc or sensitivity:CLASS"
            )
        least = 0 if self.kind == "run" else 1
        for size, ratios in self.doses.items():
            if size < least or list(ratios) != sorted(set(ratios)) or not ratios or ratios[0] != 0:
                raise ValueError(f"ratios {list(ratios)} for {size} real images; expected ascending from 0")
        return self

    @property
    def sizes(self) -> list[int]:
        return sorted(self.doses)

    def arm(
        self, kind: Kind, size: int, ratio: float, strategy: str | None, seed: int, generator: int | None = None
    ) -> Arm:
        recipe = self.recipe.model_copy(update={"ratio": float(ratio), "seed": self.recipe.seed + seed})
        strategy = None if kind in WITHOUT_STRATEGY else strategy
        own = {"val_fraction": self.val_fraction, "generator": generator}
        return Arm.model_validate({"kind": kind, "n_real": size, "strategy": strategy, "recipe": recipe, **own})

    def trained(self, kind: Kind, size: int, ratio: float, strategy: str | None, seed: int) -> list[Arm]:
        """The arms of a cell and a seed: one for each generator, where several were tuned on the same images."""
        one = self.generators == 1 or kind in WITHOUT_STRATEGY
        numbers = [None] if one else range(self.generators)
        return [self.arm(kind, size, ratio, strategy, seed, number) for number in numbers]

    def arms(self) -> list[Arm]:
        """All arms: for every size the grid, then its controls."""
        made: dict[str, Arm] = {}
        for seed in range(self.seeds):
            for size, ratios in self.doses.items():
                for strategy in self.strategies:
                    for ratio in ratios:
                        kind: Kind = "mix" if ratio else "real"
                        made |= {a.name: a for a in self.trained(kind, size, ratio, strategy, seed)}
                    for kind in self.control_kinds if self.controls else ():
                        for ratio in self.control_ratios(kind, size):
                            n = 0 if kind == "all-real" else size
                            made |= {a.name: a for a in self.trained(kind, n, ratio, strategy, seed)}
        return list(made.values())

    @property
    def control_kinds(self) -> tuple[Kind, ...]:
        """Features are computed once from images as they are, so RandAugment could not change them."""
        return tuple(k for k in self.optional if k != "randaugment" or self.recipe.tuning != "features")

    def control_ratios(self, kind: Kind, size: int) -> tuple[float, ...]:
        """The ratios at which a control is trained; one that no dose changes is trained once."""
        if kind == "all-real":
            return (0.0,)
        if self.control_doses == "all" and kind not in WITHOUT_DOSE:
            return tuple(r for r in self.doses[size] if r > 0)
        return (self.control_ratio(size),)

    def control_ratio(self, size: int) -> float:
        """The ratio of a size that its controls match: the reference, else the largest up to it, else the smallest."""
        present = [r for r in self.doses[size] if r > 0] or [self.controls_at]
        if self.control_doses != "below" and self.reference in present:
            return self.reference
        return max((r for r in present if r <= self.controls_at), default=present[0])

    @property
    def reference(self) -> float:
        """The ratio at which verdicts are judged: nearest to `controls_at` among those that every size has."""
        common = set.intersection(*(set(r) for r in self.doses.values())) - {0.0}
        present = common or {r for ratios in self.doses.values() for r in ratios if r} or {self.controls_at}
        return min(present, key=lambda r: (abs(r - self.controls_at), r))


def new_study(
    places: datasets.Places, recipe: Recipe, grid: Grid, leakage: Sequence[str] = (), notes: Sequence[str] = ()
) -> Design:
    """The design of a grid.

    Raises
    ------
    UserError
        Sizes or ratios that make no study.
    """
    ratios = (0.0, 1.0) if grid.adaptive else tuple(sorted({0.0, *map(float, grid.ratios)}))
    try:
        return Design(
            places=places,
            recipe=recipe,
            doses=dict.fromkeys(sorted(set(grid.sizes)), ratios),
            strategies=tuple(grid.strategies) or (None,),
            optional=tuple(dict.fromkeys(grid.arms)),
            val_fraction=grid.val_fraction,
            generators=grid.generators,
            seeds=grid.seeds,
            controls_at=grid.controls_at,
            control_doses=grid.control_doses,
            metric=grid.metric,
            groups=grid.groups,
            margin=grid.margin,
            adaptive=grid.adaptive,
            leakage=tuple(leakage),
            notes=tuple(notes),
            created_by=created_by(),
        )
    except ValidationError as error:
        raise UserError(f"not a study: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def read_design(folder: Path) -> Design:
    """The design of a folder of a run or a study.

    Raises
    ------
    UserError
        The folder holds neither.
    """
    plan = folder / PLAN
    if not plan.is_file():
        raise UserError(f"{folder} holds no run or study ({PLAN}); make one with `evalsuite run` or `evalsuite study`")
    try:
        return Design.model_validate_json(opened_json(read_regular(plan), plan, "delete it, and run the job again"))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UserError(f"{plan} is not the plan of a run or study ({reason}); run the job again") from error
