"""The training loop: on images or cached features, by one process or many; it can be stopped and resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.training_state import moving_average
from evalsuite.training import resume
from evalsuite.training.data.schedule import Schedule, TrainingSet, schedule
from evalsuite.training.distributed import World
from evalsuite.training.model import try_batch
from evalsuite.training.preprocessing import Prepare, Preprocessing
from evalsuite.training.recipe import Recipe
from evalsuite.training.resume import Evaluation, Progress
from evalsuite.training.split_bn import mark_synthetic
from shards.mixing.dataset import Batch
from shards.mixing.tensors import TensorSet

#: Pixels in a batch of the evaluation passes (256 images of 64 px, 20 of 224 px), and most images of one.
EVALUATION_PIXELS, EVALUATION_BATCH = 1 << 20, 256


@dataclass(frozen=True)
class Classifier:
    """What is trained, and how: the model with its input, its recipe, and the processes that share the work."""

    recipe: Recipe
    model: nn.Module
    inputs: Preprocessing
    world: World


def fit(
    classifier: Classifier,
    train: TrainingSet,
    validation: TensorSet,
    *,
    folder: Path | None = None,
    tick: Callable[[int, str], None] = lambda n, note: None,
    log: Callable[[Evaluation], None] = lambda evaluation: None,
) -> Progress:
    """Train in place; the model ends with the weights of its best evaluation.

    Parameters
    ----------
    train
        Drawn as the recipe says.
    validation
        Real images: they alone decide which weights are kept and when to stop.
    folder
        Where to keep what an interrupted run resumes from; None keeps nothing.
    tick
        Called after each step with the number of its images and a note.

    Raises
    ------
    UserError
        The model cannot be trained on so few images at a time.
    CheckFailed
        The training diverged.
    """
    recipe, model, world = classifier.recipe, classifier.model, classifier.world
    plan = schedule(recipe, train, world)
    _require_both_kinds(recipe, plan, world)
    model.to(world.device)
    if not validation.holds_features:
        try_batch(model, recipe, _fewest(recipe, plan, world), training=True)
    step = _Step(classifier, train)
    average = moving_average(model, recipe.ema) if recipe.ema else None
    modules = {"model": model} | ({"average": average} if average else {})
    checkpoint = resume.checkpoint(folder, recipe, train.ids, modules, step.optimiser) if folder else None
    progress = resume.load(checkpoint) if checkpoint else Progress()
    begun = time.monotonic() - progress.seconds

    with closing(plan.batches(progress.step)) as batches:
        for batch, synthetic in batches:
            loss = step(progress.step, batch, synthetic)
            progress.step += 1
            if average:
                average.update_parameters(model)
            tick(recipe.batch, f"loss {float(loss):.3f}" if progress.step % 20 == 0 else "")
            if progress.step % recipe.evaluate_every and progress.step < recipe.steps:
                continue
            stop = False
            if world.is_main:
                stop = _evaluate(classifier, average.module if average else model, validation, progress, float(loss))
                progress.seconds, progress.seen = time.monotonic() - begun, plan.drawn(progress.step)
                log(progress.history[-1])
                if checkpoint:
                    resume.save(checkpoint, progress)
            if world.agree(stop):
                break
    if world.is_main:
        model.load_state_dict(progress.best)
    return progress


def _require_both_kinds(recipe: Recipe, plan: Schedule, world: World) -> None:
    """Split batch norms wait for all processes: one without images of a kind would never answer."""
    fewest = plan.fewest()
    if recipe.split_bn and world.size > 1 and fewest is not None and fewest < world.size:
        raise UserError(
            f"`split_bn` with {world.size} processes, but a batch of {recipe.batch} holds as few as {fewest} images of "
            "one kind; every process needs one of each: use a larger batch, or no `split_bn`"
        )


def _fewest(recipe: Recipe, plan: Schedule, world: World) -> int:
    """The fewest images that one batch norm sees at once."""
    share = recipe.batch // world.size
    of_a_kind = plan.fewest() if recipe.split_bn else None
    return max(1, share if of_a_kind is None else min(share, of_a_kind // world.size))


def make_optimiser(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum; biases and norms are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True)


def class_weights(train: TrainingSet) -> Tensor:
    """Inverse frequency of each class, mean 1 over the images, float32 [k]; a class without images weighs 0."""
    labels = train.labels
    counts = np.bincount(labels, minlength=len(train.classes))
    present = counts > 0
    values = np.where(present, len(labels) / (present.sum() * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(values.astype(np.float32))


@torch.inference_mode()
def logits(
    model: nn.Module,
    prepare: Prepare,
    images: TensorSet,
    device: torch.device,
    tick: Callable[[int], None] = lambda n: None,
) -> Tensor:
    """Logits of every image in stored order, float32 [n, k], on the CPU.

    Raises
    ------
    CheckFailed
        Some are NaN or infinite: the training of the model diverged.
    """
    model.eval()
    parts = [torch.zeros(0, len(images.classes))]
    few = EVALUATION_BATCH if images.holds_features else max(1, EVALUATION_PIXELS // (images.size or 1) ** 2)
    for batch in images.batches(min(EVALUATION_BATCH, few)):
        parts.append(model(prepare(batch.to(device))).float().cpu())
        tick(len(batch))
    scores = torch.cat(parts)
    if wrong := int((~scores.isfinite()).any(1).sum()):
        raise CheckFailed(
            f"the classifier gives NaN or infinity for {wrong} of {len(scores)} images: its training diverged; train "
            "again with a lower learning rate, or precision fp32"
        )
    return scores


class _Step:
    """One optimiser step. All its chance comes from (seed, step, rank), so that a resumed run is the same run."""

    def __init__(self, classifier: Classifier, train: TrainingSet) -> None:
        self.classifier, recipe, world = classifier, classifier.recipe, classifier.world
        self.wrapped = world.wrap(classifier.model)
        self.optimiser = make_optimiser(recipe, classifier.model)
        self.weights = class_weights(train).to(world.device) if recipe.class_weights else None

    def __call__(self, step: int, batch: Batch, synthetic: Tensor) -> Tensor:
        """The loss of this process's images."""
        recipe, world = self.classifier.recipe, self.classifier.world
        _seed((recipe.seed * 1_000_003 + step) * 4096 + world.rank, world.device)
        x = self.classifier.inputs.train(batch.images.to(world.device))
        self.wrapped.train()
        if recipe.split_bn:
            mark_synthetic(self.classifier.model, synthetic.to(world.device))
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.learning_rate(step)
        with torch.autocast(world.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            predicted = self.wrapped(x)
        loss = F.cross_entropy(
            predicted.float(),
            batch.labels.to(world.device),
            weight=self.weights,
            label_smoothing=recipe.label_smoothing,
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach()


def _seed(value: int, device: torch.device) -> None:
    """`torch.manual_seed` formats a stack trace at each call while CUDA is not in use: a tenth of a step."""
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.manual_seed(value)


def _evaluate(
    classifier: Classifier, model: nn.Module, validation: TensorSet, progress: Progress, train_loss: float
) -> bool:
    """Evaluate on the validation images, keep the weights if they are the best so far; whether to stop."""
    scores = logits(model, classifier.inputs.evaluate, validation, classifier.world.device)
    labels = torch.from_numpy(validation.labels)
    loss = float(F.cross_entropy(scores, labels))
    accuracy = float((scores.argmax(1) == labels).float().mean())
    progress.history.append(Evaluation(progress.step, loss, accuracy, train_loss))
    if loss < progress.best_loss or not progress.best:
        progress.best_loss, progress.best_step = loss, progress.step
        progress.best = {k: v.detach().clone() for k, v in model.state_dict().items()}
    since = sum(e.step > progress.best_step for e in progress.history)
    return classifier.recipe.patience is not None and since >= classifier.recipe.patience
