"""What an interrupted run goes on from: one safetensors file, replaced whole after every evaluation."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from evalsuite.training.recipe import Recipe

if TYPE_CHECKING:
    from evalsuite.training.data.pool import Pool

NAME = "resume.safetensors"


@dataclass(frozen=True)
class Evaluation:
    """One look at the real validation images."""

    step: int
    loss: float
    accuracy: float
    train_loss: float


@dataclass
class Progress:
    """What a resumed run needs beside tensors.

    Attributes
    ----------
    step
        Steps made.
    best_loss
        Least validation loss so far; `best` holds the weights that had it.
    seen
        Real and synthetic images drawn.
    """

    step: int = 0
    best_loss: float = float("inf")
    best_step: int = 0
    seconds: float = 0.0
    history: list[Evaluation] = field(default_factory=list)
    seen: tuple[int, int] = (0, 0)


@dataclass
class State:
    """The tensors of a run. best: the weights of the best evaluation so far."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor] | None
    best: dict[str, Tensor]


def digest(recipe: Recipe, train: Pool) -> str:
    """What must not change between two halves of one run: the recipe and the training ids."""
    ids = hashlib.sha256("\n".join(train.ids.tolist()).encode()).hexdigest()
    return hashlib.sha256(f"{recipe.digest} {ids}".encode()).hexdigest()


def path_in(folder: Path) -> Path:
    return folder / NAME


def save(folder: Path, recipe: Recipe, state: State, progress: Progress, train: Pool) -> None:
    """Write the state and the progress."""
    tensors = {f"model.{k}": v for k, v in state.model.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in state.best.items()}
    tensors |= {f"average.{k}": v for k, v in (state.average or {}).items()}
    for index, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    record = {"digest": digest(recipe, train), "progress": json.dumps(asdict(progress))}
    whole = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    write_whole(path_in(folder), to_bytes(whole, metadata=record))


def load(folder: Path, recipe: Recipe, state: State, train: Pool) -> Progress | None:
    """Fill in the state from an interrupted run, if there is one.

    Raises
    ------
    UserError
        The run in this folder was another one, or its file is damaged.
    """
    path = path_in(folder)
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            record = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}); delete it to start the run anew") from error
    if record.get("digest") != digest(recipe, train):
        raise UserError(f"{path} is of a run with other settings or other images; use another --out, or delete it")
    progress = Progress(**json.loads(record["progress"]))
    progress.history = [Evaluation(**e) for e in progress.history]  # type: ignore[arg-type]
    progress.seen = (progress.seen[0], progress.seen[1])
    state.model.load_state_dict(_part(tensors, "model."))
    state.best = _part(tensors, "best.")
    if state.average is not None:
        for name, value in _part(tensors, "average.").items():
            state.average[name].copy_(value)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimiser.").items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = value
    state.optimiser.load_state_dict({**state.optimiser.state_dict(), "state": moments})
    return progress


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
