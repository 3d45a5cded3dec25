"""An arm: which real and synthetic images a classifier is given, and how it is trained on them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import PREFIX
from evalsuite.training import augment, checkpoint, frozen_features, loop, resume
from evalsuite.training import model as models
from evalsuite.training.data import lineage_guard
from evalsuite.training.data.datasets import Data
from evalsuite.training.data.pool import Pool, few_per_class, join
from evalsuite.training.distributed import World
from evalsuite.training.recipe import Recipe

Kind = Literal["real", "mix", "real-short", "real-repeated", "randaugment", "synthetic-only"]
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
        if self.kind in ("real", "real-short", "real-repeated", "randaugment"):
            changes |= {"ratio": 0.0, "mode": "mix"}
        if self.kind == "real-short":
            changes["steps"] = max(1, round(self.recipe.steps / (1 + self.ratio)))
        if self.kind == "randaugment":
            changes["augment"] = "randaugment"
        if self.kind == "synthetic-only":
            changes["mode"] = "synthetic-only"
        return self.recipe.model_copy(update=changes)


class Result(BaseModel):
    """What came out of an arm, beside its predictions."""

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


def training_pool(arm: Arm, data: Data) -> tuple[Pool, Pool]:
    """The real images of an arm, and all it draws from.

    Raises
    ------
    UserError
        There are too few synthetic images for the ratio, or too few real ones.
    """
    real = data.real(arm.n_real, arm.seed)
    if arm.kind == "real-repeated":
        times = max(1, round(1 + arm.ratio))
        return real, real.take(np.tile(np.arange(real.n), times))
    if arm.kind not in ("mix", "synthetic-only"):
        return real, real
    pool = data.beside(real, arm.strategy)
    per_class = round(real.n * arm.ratio / len(real.classes))
    counts = np.bincount(pool.labels, minlength=len(pool.classes))
    if counts.min() < per_class:
        raise UserError(
            f"{per_class} synthetic (ratio {arm.ratio:g}) images per class are asked for, but "
            f"{pool.classes[int(counts.argmin())]} has {counts.min()}; generate more, or ask for less"
        )
    pool = few_per_class(pool, per_class, arm.seed)
    return real, pool if arm.kind == "synthetic-only" else join([real, pool])


def check_lineage(data: Data, arm: Arm, real: Pool, allow: bool) -> tuple[list[str], list[str]]:
    """Refuse an arm whose generator knows too much: (allowed leaks, notes)."""
    data = data.for_arm(real)
    if arm.kind not in ("mix", "synthetic-only") or not data.lineage:
        return [], []
    own = lineage_guard.own_set_leak(data.lineage, real.ids.tolist(), data.train.ids.tolist())
    other, note = lineage_guard.arm_leaks(
        data.lineage, real.ids.tolist(), phantoms=bool((real.origins == "phantom").all())
    )
    return lineage_guard.refuse(own or other, allow), [note] if note else []


@dataclass(frozen=True)
class Trained:
    """An arm's classifier (or head) and what it says of validation and test."""

    model: nn.Module
    result: Result
    tables: dict[str, pd.DataFrame]
    real: Pool


def train(
    arm: Arm,
    data: Data,
    folder: Path,
    world: World,
    *,
    allow_leakage: bool = False,
    keep: bool = True,
    tick: Callable[[int, str], None] = lambda n, note: None,
    log: Callable[[resume.Evaluation], None] = lambda evaluation: None,
) -> Result:
    """Train an arm and write its predictions and its result; an interrupted one goes on.

    Parameters
    ----------
    keep
        Keep the checkpoint, and what an interruption goes on from; cheap arms do without.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = arm.trained_as()
    on_images = data.train.x[torch.tensor([0])].ndim == 4
    body = models.build(recipe, len(data.classes)) if on_images else None
    if recipe.tuning == "features" and body is not None:
        trained = fit(arm, _featured(data, body, world), None, world, allow_leakage, None, tick, log)
        trained.model.cpu().fold_into(body.cpu())  # type: ignore[operator]
    else:
        trained = fit(arm, data, body, world, allow_leakage, folder if keep else None, tick, log)
    if world.is_main:
        for name, table in trained.tables.items():
            write_whole(folder / name, table.to_parquet(None, index=False))
        if keep and body is not None:
            checkpoint.save(folder, body, _record(recipe, data, trained))
        write_whole(folder / RESULT, trained.result.model_dump_json(indent=1).encode())
        (folder / resume.NAME).unlink(missing_ok=True)
    return trained.result


def fit(
    arm: Arm,
    data: Data,
    body: nn.Module | None,
    world: World,
    allow_leakage: bool,
    folder: Path | None,
    tick: Callable[[int, str], None],
    log: Callable[[resume.Evaluation], None],
) -> Trained:
    """Train `body`, or a head where the data are features, and predict; nothing is written but to go on from."""
    real, pool = training_pool(arm, data)
    leakage, notes = check_lineage(data, arm, real, allow_leakage)
    recipe = arm.trained_as()
    model: nn.Module
    if body is None or recipe.tuning == "features":
        model, stage = frozen_features.new_head(pool), loop.Stage(_as_is, _as_is)
    else:
        model, stage = body, image_stage(body, recipe, world)
    begun = time.monotonic()
    progress = loop.fit(recipe, model, stage, pool, data.validation, world, folder=folder, tick=tick, log=log)
    seconds = max(progress.seconds, time.monotonic() - begun)
    scores = {
        name: loop.logits(model, stage.evaluate, part, world.device)
        for name, part in ((VALIDATION, data.validation), (PREDICTIONS, data.test))
    }
    best = next((e for e in progress.history if e.step == progress.best_step), None)
    result = Result(
        digest=digest(arm, data.digest),
        arm=arm,
        real=real.n,
        synthetic=int(pool.synthetic.sum()),
        seen_real=progress.seen[0],
        seen_synthetic=progress.seen[1],
        steps=progress.step,
        best_step=progress.best_step,
        seconds=seconds,
        images_per_second=progress.step * recipe.batch / seconds,
        validation_loss=best.loss if best else -1.0,
        validation_accuracy=best.accuracy if best else 0.0,
        test_accuracy=float((scores[PREDICTIONS].argmax(1) == torch.from_numpy(data.test.labels)).float().mean()),
        leakage=leakage,
        notes=notes,
        history=[asdict(e) for e in progress.history],
    )
    tables = {
        name: predictions_frame(part, scores[name].double().softmax(1))
        for name, part in ((VALIDATION, data.validation), (PREDICTIONS, data.test))
    }
    return Trained(model, result, tables, real)


def predictions_frame(pool: Pool, probabilities: Tensor) -> pd.DataFrame:
    """The predictions table of the design."""
    names = np.array(pool.classes)
    frame = pd.DataFrame({"id": pool.ids, "label": names[pool.labels]})
    values = probabilities.double()
    values = values / values.sum(1, keepdim=True)
    for index, name in enumerate(pool.classes):
        frame[PREFIX + name] = values[:, index].numpy()
    frame = pd.concat([frame, pool.groups.reset_index(drop=True)], axis=1)
    if (pool.clusters != pool.ids).any():
        frame["cluster"] = pool.clusters
    return frame


def image_stage(model: nn.Module, recipe: Recipe, world: World) -> loop.Stage:
    """Augmented and normalised for training, only normalised for evaluation."""
    mean, std = (t.to(world.device) for t in models.normaliser(model))

    def training(pixels: Tensor) -> Tensor:
        return (augment.augment(pixels, recipe.augment) - mean) / std

    def evaluation(pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - mean) / std

    return loop.Stage(training, evaluation)


def _featured(data: Data, body: nn.Module, world: World) -> Data:
    """The same data as features of a frozen body."""
    train_, validation, test = (
        frozen_features.extract(body, part, world.device) for part in (data.train, data.validation, data.test)
    )
    synthetic = None if data.synthetic is None else frozen_features.extract(body, data.synthetic, world.device)
    return replace(data, train=train_, validation=validation, test=test, synthetic=synthetic)


def _as_is(x: Tensor) -> Tensor:
    return x


def _record(recipe: Recipe, data: Data, trained: Trained) -> checkpoint.Record:
    real, result = trained.real, trained.result
    return checkpoint.Record(
        recipe=recipe,
        classes=list(real.classes),
        images={"train": real.ids.tolist(), "validation": data.validation.ids.tolist()},
        clusters={"train": _families(real), "validation": _families(data.validation)},
        synthetic=result.synthetic,
        lineage=list(data.for_arm(trained.real).lineage) if result.synthetic else [],
        best_step=result.best_step,
        steps=result.steps,
        seconds=result.seconds,
        seen_real=result.seen_real,
        seen_synthetic=result.seen_synthetic,
        history=result.history,
        leakage=result.leakage,
    )


def _families(pool: Pool) -> list[str]:
    """Patients or families of duplicates; an image that stands alone has its own id there."""
    return sorted(set(pool.clusters[pool.clusters != pool.ids].tolist()))
