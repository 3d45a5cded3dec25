"""Training one arm: its classifier, its predictions on validation and test images, and its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from dermforge.common.atomic import write_whole
from dermforge.common.sealed_file import sealed_json
from dermforge.common.sealed_parquet import sealed
from evalsuite.study.arm import EXTERNAL, PREDICTIONS, RESULT, VALIDATION, Arm, Result
from evalsuite.study.arm_images import check_lineage, digest, training_set, validation_set
from evalsuite.training import checkpoint, frozen_features, loop, preprocessing, resume
from evalsuite.training import model as models
from evalsuite.training.data.datasets import Data
from evalsuite.training.distributed import World
from evalsuite.training.predict import predictions_frame
from shards import ImageSet


@dataclass(frozen=True)
class Execution:
    """How an arm is run, whatever it is.

    Attributes
    ----------
    allow_leakage
        Train although the generator saw too much.
    keep
        Keep the checkpoint, and what an interrupted run resumes from; cheap arms do without.
    tick
        Called after each step with the number of its images and a note.
    log
        Called after each evaluation.
    notes
        What the result must say of it.
    """

    world: World
    allow_leakage: bool = False
    keep: bool = True
    tick: Callable[[int, str], None] = lambda n, note: None
    log: Callable[[resume.Evaluation], None] = lambda evaluation: None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Trained:
    """An arm's classifier (or head) and what it says of validation and test."""

    model: nn.Module
    result: Result
    tables: dict[str, pd.DataFrame]
    real: ImageSet


def train(arm: Arm, data: Data, folder: Path, execution: Execution) -> Result:
    """Train an arm and write its predictions and its result; an interrupted one is resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = arm.trained_as()
    body = None if data.train.holds_features else models.build(recipe, len(data.classes))
    resumed_from = folder if execution.keep else None
    if recipe.tuning == "features" and body is not None:
        trained = fit(arm, _featured(data, body, execution.world.device), None, None, execution)
        trained.model.cpu().fold_into(body.cpu())  # type: ignore[operator]
    else:
        trained = fit(arm, data, body, resumed_from, execution)
    if execution.world.is_main:
        for name, table in trained.tables.items():
            write_whole(folder / name, sealed(table))
        if execution.keep and body is not None:
            checkpoint.save(folder, body, _record(data, trained))
        write_whole(folder / RESULT, sealed_json(trained.result.model_dump_json(indent=1)))
        (folder / resume.NAME).unlink(missing_ok=True)
    return trained.result


def fit(arm: Arm, data: Data, body: nn.Module | None, folder: Path | None, execution: Execution) -> Trained:
    """Train `body`, or a head where the data are features, and predict; `folder`: where it can be resumed."""
    real, images = training_set(arm, data)
    leakage, notes = check_lineage(data, arm, real, execution.allow_leakage)
    recipe, world, validation = arm.trained_as(), execution.world, validation_set(arm, data, real)
    model: nn.Module
    if body is None:
        model, inputs = frozen_features.new_head(images), preprocessing.OF_FEATURES
    else:
        model, inputs = body, preprocessing.of_images(body, recipe.augment, world.device)
    begun = time.monotonic()
    classifier = loop.Classifier(recipe, model, inputs, world)
    progress = loop.fit(classifier, images, validation, folder=folder, tick=execution.tick, log=execution.log)
    seconds = max(progress.seconds, time.monotonic() - begun)
    tables, correct = {}, 0.0
    external = {} if data.external is None else {EXTERNAL: data.external}
    for name, part in {VALIDATION: validation, **external, PREDICTIONS: data.test}.items():
        scores = loop.logits(model, inputs.evaluate, part, world.device)
        tables[name] = predictions_frame(part, scores.double().softmax(1), recipe.summary())
        correct = float((scores.argmax(1) == torch.from_numpy(part.labels)).float().mean())
    best = next((e for e in progress.history if e.step == progress.best_step), None)
    result = Result(
        digest=digest(arm, data),
        arm=arm,
        real=real.n,
        synthetic=images.synthetic.n if images.synthetic is not None else 0,
        seen_real=progress.seen[0],
        seen_synthetic=progress.seen[1],
        steps=progress.step,
        best_step=progress.best_step,
        seconds=seconds,
        images_per_second=progress.step * recipe.batch / seconds,
        validation_loss=best.loss if best else -1.0,
        validation_accuracy=best.accuracy if best else 0.0,
        test_accuracy=correct,
        leakage=leakage,
        notes=[*execution.notes, *notes],
        history=[asdict(e) for e in progress.history],
    )
    return Trained(model, result, tables, real)


def _featured(data: Data, body: nn.Module, device: torch.device) -> Data:
    """The same data as features of a frozen body."""
    parts = {name: frozen_features.extract(body, images, device) for name, images in data.parts.items()}
    return data.with_parts(parts)


def _record(data: Data, trained: Trained) -> checkpoint.Record:
    real, result = trained.real, trained.result
    return checkpoint.Record(
        recipe=result.arm.trained_as(),
        classes=list(real.classes),
        images={"train": real.rows["id"].tolist(), "validation": data.validation.rows["id"].tolist()},
        clusters={"train": _families(real), "validation": _families(data.validation)},
        synthetic=result.synthetic,
        lineage=list(data.for_arm(real).lineage) if result.synthetic else [],
        best_step=result.best_step,
        steps=result.steps,
        seconds=result.seconds,
        seen_real=result.seen_real,
        seen_synthetic=result.seen_synthetic,
        history=result.history,
        leakage=result.leakage,
    )


def _families(images: ImageSet) -> list[str]:
    """Patients or families of duplicates; an image that stands alone is known by its id."""
    clusters = images.rows["cluster"]
    return sorted(set(clusters[clusters.notna() & (clusters != images.rows["id"])]))
