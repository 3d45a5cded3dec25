"""An arm: which real and synthetic images a classifier is given, and by which recipe it is trained on them."""

from __future__ import annotations

import hashlib

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dermforge.common.errors import UserError
from evalsuite.study.kinds import REAL_ONLY, Kind
from evalsuite.training.data import lineage_guard
from evalsuite.training.data.datasets import Data
from evalsuite.training.data.schedule import TrainingSet
from evalsuite.training.recipe import Recipe
from shards.mixing.sampling_order import few_per_class
from shards.mixing.tensors import TensorSet

RESULT, PREDICTIONS, VALIDATION = "result.json", "predictions.parquet", "validation.parquet"


class Arm(BaseModel):
    """One arm.

    Attributes
    ----------
    kind
        `real`: real images only, as many steps as every other arm. `mix`: with synthetic ones. The controls:
        `real-short` (only the steps that the real images would make in as many epochs as the mixed arm makes),
        `real-repeated` (real images repeated to the mixed arm's count), `randaugment` (real images, RandAugment),
        `synthetic-only`.
    n_real
        Real images per class; 0: all there are.
    strategy
        Synthetic images of this strategy only; None: of all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    n_real: int = Field(ge=0)
    strategy: str | None = None
    recipe: Recipe

    @property
    def ratio(self) -> float:
        return self.recipe.ratio

    @property
    def seed(self) -> int:
        return self.recipe.seed

    @property
    def name(self) -> str:
        """Readable, and a folder's name."""
        words = [self.kind, f"n{self.n_real or 'all'}", f"r{self.ratio:g}", self.strategy or "", f"s{self.seed}"]
        return "_".join(w for w in words if w).replace(".", "p")

    def trained_as(self) -> Recipe:
        """The recipe as this kind of arm is trained."""
        changes: dict[str, object] = {}
        if self.kind in REAL_ONLY:
            changes |= {"ratio": 0.0, "mode": "mix"}
        if self.kind == "real-short":
            changes["steps"] = max(1, round(self.recipe.steps / (1 + self.ratio)))
        if self.kind == "randaugment":
            changes["augment"] = "randaugment"
        if self.kind == "synthetic-only":
            changes["mode"] = "synthetic-only"
        return self.recipe.model_copy(update=changes)


class Result(BaseModel):
    """What came out of an arm, next to its predictions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    arm: Arm
    real: int
    synthetic: int
    seen_real: int
    seen_synthetic: int
    steps: int
    best_step: int
    seconds: float
    images_per_second: float
    validation_loss: float
    validation_accuracy: float
    test_accuracy: float
    leakage: list[str]
    notes: list[str]
    history: list[dict[str, float]]


def digest(arm: Arm, data_digest: str) -> str:
    """What decides an arm's result: its settings and the images it may use."""
    return hashlib.sha256(f"{arm.model_dump_json()} {data_digest}".encode()).hexdigest()


def training_set(arm: Arm, data: Data) -> tuple[TensorSet, TrainingSet]:
    """The real images of an arm, and all it draws from.

    Raises
    ------
    UserError
        There are too few synthetic images for the ratio, or too few real ones.
    """
    real = data.real(arm.n_real, arm.seed)
    if arm.kind == "real-repeated":
        times = max(1, round(1 + arm.ratio))
        return real, TrainingSet(real.take(np.tile(np.arange(real.n), times)))
    if arm.kind in REAL_ONLY:
        return real, TrainingSet(real)
    synthetic = data.synthetic_for(real, arm.strategy)
    per_class = round(real.n * arm.ratio / len(real.classes))
    counts = np.bincount(synthetic.labels, minlength=len(synthetic.classes))
    if counts.min() < per_class:
        raise UserError(
            f"{per_class} synthetic (ratio {arm.ratio:g}) images per class are asked for, but "
            f"{synthetic.classes[int(counts.argmin())]} has {counts.min()}; generate more, or ask for less"
        )
    synthetic = synthetic.take(few_per_class(synthetic.rows, per_class, arm.seed))
    return real, TrainingSet(None if arm.kind == "synthetic-only" else real, synthetic)


def check_lineage(data: Data, arm: Arm, real: TensorSet, allow: bool) -> tuple[list[str], list[str]]:
    """Refuse an arm whose generator knows too much: (allowed leaks, notes)."""
    data = data.for_arm(real)
    if arm.kind in REAL_ONLY or not data.lineage:
        return [], []
    ids = real.rows["id"].tolist()
    own = lineage_guard.own_set_leak(data.lineage, ids, data.train.rows["id"].tolist())
    other, note = lineage_guard.arm_leaks(data.lineage, ids, phantoms=bool((real.rows["origin"] == "phantom").all()))
    return lineage_guard.refuse(own or other, allow), [note] if note else []
