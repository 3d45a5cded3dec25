"""The dose study: arms over real images x synthetic ratio x strategy x seed, with their controls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dermforge.common.atomic import write_whole
from dermforge.common.console import progress
from dermforge.common.errors import UserError
from evalsuite.study import run_arms
from evalsuite.study.arm import Arm, Kind, check_lineage
from evalsuite.study.paired_scores import Metric
from evalsuite.training import checkpoint, frozen_features
from evalsuite.training import model as models
from evalsuite.training.data import datasets
from evalsuite.training.recipe import Recipe
from shards.format.schema import created_by

PLAN, KIND, FEATURES = "plan.json", "study", "features.parquet"
CONTROLS: tuple[Kind, ...] = ("real-short", "real-repeated", "randaugment", "synthetic-only")
Preset = Literal["sagers2023", "laptop"]


class Grid(BaseModel):
    """Sizes (real images per class), ratios and seeds of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: tuple[int, ...]
    ratios: tuple[float, ...]
    seeds: int = Field(ge=1)
    recipe: dict[str, object] = {}


#: `sagers2023`: the grid of arXiv 2308.12453 and its code. `laptop`: about ten minutes on two cores.
PRESETS: dict[Preset, Grid] = {
    "sagers2023": Grid(
        sizes=(1, 8, 16, 32, 64, 128, 228),
        ratios=(0, 1, 2, 5, 10, 20, 25, 50, 75),
        seeds=5,
        recipe={
            "model": "tf_efficientnetv2_m",
            "weights": "hub",
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
        seeds=2,
        recipe={"steps": 200, "batch": 32, "lr": 4e-3, "evaluate_every": 40},
    ),
}


class Design(BaseModel):
    """A study, fixed before anything is trained.

    Attributes
    ----------
    doses
        Ratios for each number of real images per class, ascending, beginning with 0.
    controls_at
        Ratio whose number of steps and images the controls match.
    margin
        Differences of the score up to this are of no consequence.
    controls
        Whether the controls are trained too; with `adaptive` they wait for the last dose.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = KIND
    places: datasets.Places
    recipe: Recipe
    doses: dict[int, tuple[float, ...]]
    strategies: tuple[str | None, ...] = (None,)
    seeds: int = Field(ge=1)
    controls_at: float = Field(gt=0)
    metric: Metric = "accuracy"
    margin: float = Field(default=0.02, gt=0, lt=1)
    adaptive: bool = False
    controls: bool = True
    leakage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    created_by: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Design:
        for size, ratios in self.doses.items():
            if size < 1 or list(ratios) != sorted(set(ratios)) or not ratios or ratios[0] != 0:
                raise ValueError(f"ratios {list(ratios)} for {size} real images; expected ascending from 0")
        return self

    @property
    def sizes(self) -> list[int]:
        return sorted(self.doses)

    @property
    def arm_seeds(self) -> list[int]:
        return [self.recipe.seed + seed for seed in range(self.seeds)]

    def arm(self, kind: Kind, size: int, ratio: float, strategy: str | None, seed: int) -> Arm:
        recipe = self.recipe.model_copy(update={"ratio": float(ratio), "seed": self.recipe.seed + seed})
        return Arm(kind=kind, n_real=size, strategy=strategy if ratio else None, recipe=recipe)

    def arms(self) -> list[Arm]:
        """All arms: for every size the grid, then its controls."""
        made = {}
        for seed in range(self.seeds):
            for size, ratios in self.doses.items():
                for strategy in self.strategies:
                    for ratio in ratios:
                        one = self.arm("mix" if ratio else "real", size, ratio, strategy, seed)
                        made[one.name] = one
                    for kind in self.control_kinds if self.controls else ():
                        needs = strategy if kind == "synthetic-only" else None
                        one = self.arm(kind, size, self.control_ratio(size), needs, seed)
                        made[one.name] = one
        return list(made.values())

    @property
    def control_kinds(self) -> tuple[Kind, ...]:
        """Features are computed once from images as they are, so there is nothing that RandAugment could change."""
        return tuple(k for k in CONTROLS if k != "randaugment" or self.recipe.tuning != "features")

    def control_ratio(self, size: int) -> float:
        """The dose of a size that its controls match: `controls_at`, or the largest below it."""
        present = (
            [r for r in self.doses[size] if 0 < r <= self.controls_at]
            or [r for r in self.doses[size] if r > 0]
            or [self.controls_at]
        )
        return present[-1] if present[-1] <= self.controls_at else present[0]


def check(design: Design, opened: datasets.Data, allow_leakage: bool = False) -> None:
    """Refuse a grid that the images cannot fill, before anything is trained.

    Raises
    ------
    UserError
        Too few real or synthetic images of a class; says how many there are and what they allow. Or a generator saw
        more of the data set than an arm has.
    """
    for size, ratios in design.doses.items():
        for seed in range(design.seeds):
            arm = design.arm("mix", size, max(ratios), None, seed)
            check_lineage(opened, arm, opened.real(size, arm.seed), allow_leakage)
        for strategy in design.strategies:
            held, scarce = opened.scarcest(size, design.arm_seeds, strategy)
            if ratios[-1] * size > held:
                named = f" of the strategy {strategy}" if strategy else ""
                raise UserError(
                    f"{size} real images at {ratios[-1]:g}:1 need {round(ratios[-1] * size)} synthetic "
                    f"images per class{named}; the shards hold {held} of {scarce}, which allows "
                    f"{held / size:.3g}:1"
                )


def prepare(design: Design, out: Path, body: Path | None) -> Design:
    """For `features`: compute them once for every image; the design then reads the table.

    Parameters
    ----------
    body
        A checkpoint whose body gives the features; None: the recipe's own model and weights.
    """
    if design.recipe.tuning != "features" or design.places.features is not None:
        return design
    opened = datasets.open_data(design.places)
    if body is not None:
        network, record = checkpoint.load(body)
        rows = opened.test.rows
        checkpoint.refuse_seen(
            record, body, rows["id"].tolist(), rows["cluster"].dropna().tolist(), "use another --body"
        )
        design = design.model_copy(
            update={
                "notes": (
                    f"The frozen body was trained on {len(record.images['train'])} real images before; arms with fewer "
                    "borrow from those, with and without synthetic images alike.",
                )
            }
        )
    else:
        if design.recipe.weights is None:
            raise UserError("--tuning features needs a body that has learnt something: --weights, or --body CHECKPOINT")
        network = models.build(design.recipe, len(opened.classes))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sets = [opened.train, opened.validation, opened.test, *([opened.synthetic] if opened.synthetic else [])]
    with progress("features", sum(images.n for images in sets)) as tick:
        done = [frozen_features.extract(network, images, device, tick=lambda n: tick(n)) for images in sets]
    real = np.full(sum(images.n for images in done[:3]), frozen_features.REAL)
    frame = frozen_features.feature_table(done, np.concatenate([real, opened.made_by]))
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / FEATURES, frame.to_parquet(None, index=False))
    return design.model_copy(update={"places": design.places.model_copy(update={"features": out / FEATURES})})


def execute(
    design: Design, out: Path, *, workers: int | None = None, allow_leakage: bool = False, ray: str | None = None
) -> None:
    """Train all arms that have no result yet. A study of another design in the same folder is refused.

    Raises
    ------
    UserError
        The folder holds another study.
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / PLAN).is_file():
        before = read_design(out)
        if before.recipe != design.recipe or before.places != design.places:
            raise UserError(f"{out} holds a study of other images or another recipe; use another --out")
    write_whole(out / PLAN, design.model_dump_json(indent=1).encode())
    run_arms.run(
        design.arms(),
        design.places,
        out,
        workers=workers,
        keep=False,
        allow_leakage=allow_leakage,
        ray=ray,
        what="study",
    )


def next_doses(design: Design, flat: Sequence[int], limit: dict[int, float]) -> Design | None:
    """The same study one doubling on, for the sizes that still gain; None when there is nothing to raise.

    Parameters
    ----------
    flat
        Sizes whose last doubling showed no gain.
    limit
        Largest ratio of each size.
    """
    doses = dict(design.doses)
    for size, ratios in design.doses.items():
        following = ratios[-1] * 2 if ratios[-1] else 1.0
        if size not in flat and following <= limit[size]:
            doses[size] = (*ratios, following)
    return None if doses == design.doses else design.model_copy(update={"doses": doses})


def read_design(folder: Path) -> Design:
    """The design of a study's folder.

    Raises
    ------
    UserError
        The folder holds no study.
    """
    try:
        return Design.model_validate_json((folder / PLAN).read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise UserError(f"{folder} holds no study ({PLAN}); make one with `evalsuite study --out {folder}`") from error


def new_design(
    places: datasets.Places,
    recipe: Recipe,
    sizes: Sequence[int],
    ratios: Sequence[float],
    *,
    seeds: int,
    strategies: Sequence[str] = (),
    controls_at: float = 10.0,
    metric: Metric = "accuracy",
    margin: float = 0.02,
    adaptive: bool = False,
    leakage: Sequence[str] = (),
) -> Design:
    """A design from command-line options.

    Raises
    ------
    UserError
        Sizes or ratios that make no study.
    """
    doses = (0.0, 1.0) if adaptive else tuple(sorted({0.0, *map(float, ratios)}))
    try:
        return Design(
            places=places,
            recipe=recipe,
            doses=dict.fromkeys(sorted(set(sizes)), doses),
            strategies=tuple(strategies) or (None,),
            seeds=seeds,
            controls_at=controls_at,
            metric=metric,
            margin=margin,
            adaptive=adaptive,
            leakage=tuple(leakage),
            created_by=created_by(),
        )
    except ValidationError as error:
        raise UserError(f"not a study: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
