"""What an interrupted run resumes from: its state and its progress, replaced as a whole after every evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from dermforge.common.training_state import Checkpoint
from evalsuite.training.recipe import Recipe

NAME = "resume.safetensors"


@dataclass(frozen=True)
class Evaluation:
    """Losses and accuracy at one step, on the real validation images except for `train_loss`."""

    step: int
    loss: float
    accuracy: float
    train_loss: float


@dataclass
class Progress:
    """How far a run has come.

    Attributes
    ----------
    step
        Steps made.
    best_loss, best
        Least validation loss so far, and the weights that had it.
    seen
        Real and synthetic images drawn.
    """

    step: int = 0
    best_loss: float = float("inf")
    best_step: int = 0
    seconds: float = 0.0
    history: list[Evaluation] = field(default_factory=list)
    seen: tuple[int, int] = (0, 0)
    best: dict[str, Tensor] = field(default_factory=dict)


def checkpoint(
    folder: Path, recipe: Recipe, ids: Iterable[str], modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer
) -> Checkpoint:
    """The file of a run with this recipe and these training images."""
    images = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    return Checkpoint(folder / NAME, recipe.model_dump(mode="json") | {"images": images}, modules, optimiser)


def save(file: Checkpoint, progress: Progress) -> None:
    """Write the state and the progress."""
    record = {k: v for k, v in vars(progress).items() if k != "best"}
    file.save(record | {"history": [asdict(e) for e in progress.history]}, progress.best)


def load(file: Checkpoint) -> Progress:
    """Fill in the state from an interrupted run; its progress, or a new one where there was none.

    Raises
    ------
    UserError
        The run in this folder was another one, or its file is damaged.
    """
    saved = file.load()
    if saved is None:
        return Progress()
    record, best = saved
    history, seen = [Evaluation(**e) for e in record["history"]], tuple(record["seen"])
    return Progress(**record | {"history": history, "seen": seen, "best": best})
