"""The training loop: images or cached features, one process or many, stopped and gone on with at will."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermforge.common.errors import UserError
from dermforge.common.training_state import moving_average
from evalsuite.training import resume
from evalsuite.training.data.pool import Pool
from evalsuite.training.data.stream import Schedule, schedule
from evalsuite.training.distributed import World
from evalsuite.training.recipe import Recipe
from evalsuite.training.resume import Evaluation, Progress
from evalsuite.training.split_bn import mark_synthetic

#: Batch of the evaluation passes.
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Stage:
    """How rows become the model's input: for training (with augmentation) and for evaluation."""

    train: Callable[[Tensor], Tensor]
    evaluate: Callable[[Tensor], Tensor]


def fit(
    recipe: Recipe,
    model: nn.Module,
    stage: Stage,
    train: Pool,
    validation: Pool,
    world: World,
    *,
    folder: Path | None = None,
    tick: Callable[[int, str], None] = lambda n, note: None,
    log: Callable[[Evaluation], None] = lambda evaluation: None,
) -> Progress:
    """Train in place; the model ends with the weights of its best evaluation.

    Parameters
    ----------
    train
        Real and synthetic rows, drawn as the recipe says.
    validation
        Real rows only: they alone decide which weights are kept and when to stop.
    folder
        Where to keep what an interrupted run goes on from; None keeps nothing.
    tick
        Called after each step with the images done and a note.
    """
    if validation.synthetic.any():
        raise UserError(
            f"{int(validation.synthetic.sum())} validation images are synthetic; early stopping looks at "
            "real images only: take them out"
        )
    plan = schedule(recipe, train)
    _require_both_kinds(recipe, plan, world)
    model.to(world.device)
    trained = world.wrap(model)
    optimiser = make_optimiser(recipe, model)
    weights = class_weights(train) if recipe.class_weights else None
    average = moving_average(model, recipe.ema) if recipe.ema else None
    modules = {"model": model} | ({"average": average} if average else {})
    checkpoint = resume.checkpoint(folder, recipe, train.ids, modules, optimiser) if folder else None
    progress = resume.load(checkpoint) if checkpoint else Progress()
    begun = time.monotonic() - progress.seconds

    while progress.step < recipe.steps:
        loss = _step(recipe, plan, progress.step, trained, model, stage, train, optimiser, weights, world)
        progress.step += 1
        if average:
            average.update_parameters(model)
        tick(recipe.batch, f"loss {float(loss):.3f}" if progress.step % 20 == 0 else "")
        if progress.step % recipe.evaluate_every and progress.step < recipe.steps:
            continue
        stop = False
        if world.is_main:
            judged = average.module if average else model
            stop = _evaluate(recipe, judged, stage, validation, progress, float(loss), world)
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
            f"--split-bn over {world.size} processes, but a batch of {recipe.batch} holds as few as "
            f"{fewest} images of one kind; every process needs one of each: raise --batch, or leave out "
            "--split-bn"
        )


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


def class_weights(train: Pool) -> Tensor:
    """Inverse frequency of each class, mean 1 over the images; a class without images weighs 0."""
    counts = np.bincount(train.labels, minlength=len(train.classes))
    present = counts > 0
    values = np.where(present, len(train.labels) / (present.sum() * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(values.astype(np.float32))


@torch.inference_mode()
def logits(model: nn.Module, prepare: Callable[[Tensor], Tensor], pool: Pool, device: torch.device) -> Tensor:
    """Logits of every row in order, float32 [n, k], on the CPU."""
    model.eval()
    parts = [
        model(prepare(pool.x[rows].to(device))).float().cpu() for rows in torch.arange(pool.n).split(EVALUATION_BATCH)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, len(pool.classes))


def _step(
    recipe: Recipe,
    plan: Schedule,
    step: int,
    trained: nn.Module,
    model: nn.Module,
    stage: Stage,
    train: Pool,
    optimiser: torch.optim.Optimizer,
    weights: Tensor | None,
    world: World,
) -> Tensor:
    """One optimiser step. All its chance comes from (seed, step, rank), so a run goes on exactly."""
    _seed((recipe.seed * 1_000_003 + step) * 4096 + world.rank, world.device)
    rows = plan.rows(step)
    if world.size > 1:  # in the plan's order real images come first: deal them out evenly
        rows = rows[np.argsort(np.arange(len(rows)) % world.size, kind="stable")]
    rows = rows[world.share_of(recipe.batch)]
    index = torch.from_numpy(rows)
    x = stage.train(train.x[index].to(world.device))
    labels = torch.from_numpy(train.labels[rows]).to(world.device)
    trained.train()
    if recipe.split_bn:
        mark_synthetic(model, torch.from_numpy(train.synthetic[rows]).to(world.device))
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate(step)
    with torch.autocast(world.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
        predicted = trained(x)
    loss = F.cross_entropy(
        predicted.float(),
        labels,
        weight=None if weights is None else weights.to(world.device),
        label_smoothing=recipe.label_smoothing,
    )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def _seed(value: int, device: torch.device) -> None:
    """`torch.manual_seed`, which formats a stack trace at each call while CUDA is not in use: a tenth of a step."""
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.manual_seed(value)


def _evaluate(
    recipe: Recipe,
    model: nn.Module,
    stage: Stage,
    validation: Pool,
    progress: Progress,
    train_loss: float,
    world: World,
) -> bool:
    """Look at the validation images, keep the weights if they are the best so far; whether to stop."""
    scores = logits(model, stage.evaluate, validation, world.device)
    labels = torch.from_numpy(validation.labels)
    loss = float(F.cross_entropy(scores, labels))
    accuracy = float((scores.argmax(1) == labels).float().mean())
    progress.history.append(Evaluation(progress.step, loss, accuracy, train_loss))
    if loss < progress.best_loss or not progress.best:
        progress.best_loss, progress.best_step = loss, progress.step
        progress.best = {k: v.detach().clone() for k, v in model.state_dict().items()}
    since = sum(e.step > progress.best_step for e in progress.history)
    return recipe.patience is not None and since >= recipe.patience
