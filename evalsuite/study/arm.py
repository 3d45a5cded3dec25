"""An arm: which real and synthetic images a classifier is given, and by which recipe it is trained on them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.errors import UserError
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json
from evalsuite.study.kinds import REAL_ONLY, Kind
from evalsuite.training.recipe import Recipe

RESULT, PREDICTIONS, VALIDATION = "result.json", "predictions.parquet", "validation.parquet"
#: Predictions on the external test images.
EXTERNAL = "external.parquet"


class Arm(BaseModel):
    """One arm.

    Attributes
    ----------
    kind
        `real`: real images only, as many steps as every other arm. `mix`: with synthetic ones. The controls:
        `real-short` (only the steps that the real images would make in as many epochs as the mixed arm makes),
        `real-repeated` (real images repeated to the mixed arm's count), `randaugment` (real images, RandAugment),
        `synthetic-only`. The others are mixed arms with another thing changed: `pretrain` (synthetic images first,
        then real ones), `all-real` (no synthetic images, every real one there is), `untuned` (images of a generator
        that was not tuned), `shuffled-labels` (placebo), `dark-only` (all synthetic images of dark skin types).
    n_real
        Real images per class; 0: all there are.
    strategy
        Synthetic images of this strategy only; None: of all.
    val_fraction
        Share of the real images that choose the checkpoint in place of the validation images; 0: none.
    generator
        Which of several generators that were tuned on the same images; None: all of them together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    n_real: int = Field(ge=0)
    strategy: str | None = None
    recipe: Recipe
    val_fraction: float = Field(default=0.0, ge=0, lt=1)
    generator: int | None = Field(default=None, ge=0)

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
        words.append("" if self.generator is None else f"g{self.generator}")
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
        if self.kind == "pretrain":
            changes["mode"] = "pretrain-then-tune"
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


def read_result(path: Path) -> Result:
    """The result of an arm.

    Raises
    ------
    UserError
        It is damaged, or of another version.
    """
    remedy = "the arm has to be trained again"
    try:
        return Result.model_validate_json(opened_json(read_regular(path), path, remedy))
    except ValidationError as error:
        raise UserError(f"{path} is no result of this version ({error.errors()[0]['msg']}); {remedy}") from error
