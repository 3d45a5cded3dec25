"""The training loop: from a checkpoint on, over as many processes as accelerate was started with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.progress import Progress, silent
from dermforge.common.training_log import TrainingLog
from dermforge.common.training_state import Checkpoint, moving_average
from gen.finetune.settings import Execution
from gen.finetune.work import CHECKPOINT, LOG

COLUMNS = ("step", "samples", "loss", "learning_rate", "gradient_norm", "seconds")


class Batch(Protocol):
    """What a step learns from."""

    def to(self, device: torch.device) -> Self: ...


B = TypeVar("B", bound=Batch)
B_co = TypeVar("B_co", bound=Batch, covariant=True)


class Source(Protocol[B_co]):
    """The batches of a run, a pure function of the step."""

    def part(self, step: int, positions: range) -> B_co:
        """Some positions of a step's batch."""


class Optimisation(Protocol):
    """The settings of a run that the loop reads; `gen.finetune.settings` says what each is."""

    @property
    def batch(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def betas(self) -> tuple[float, float]: ...
    @property
    def clip(self) -> float: ...
    @property
    def ema(self) -> float: ...
    @property
    def mixed_precision(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def later(self) -> Mapping[str, object]: ...
    def rate(self, step: int, steps: int) -> float: ...


@dataclass(frozen=True)
class Training(Generic[B]):
    """One run.

    Attributes
    ----------
    network
        What is called; those of its parameters that require gradients are trained.
    loss
        The network, as accelerate wrapped it, and a part of a batch -> the mean loss of that part.
    steps
        To reach.
    identity
        What a checkpoint must agree in.
    title
        Of the progress.
    averages
        Called before the first step with the averaged weights of what is trained, which then change in place, for a
        loss that needs them.
    log
        Called after each step with its numbers.
    """

    accelerator: Accelerator
    network: nn.Module
    batches: Source[B]
    loss: Callable[[nn.Module, B], Tensor]
    settings: Optimisation
    execution: Execution
    steps: int
    identity: dict[str, Any]
    work: Path
    title: str = "fine-tune"
    averages: Callable[[list[Tensor]], None] = lambda averages: None
    log: Callable[[dict[str, float], int], None] = lambda values, step: None

    def run(
        self,
        validate: Callable[[int], None],
        progress: Progress = silent,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Train to the last step; the network ends with the averaged weights where an average is asked for.

        Raises
        ------
        UserError
            The batch cannot be shared out, or the checkpoint is of another run or of more steps.
        CheckFailed
            The loss or its gradient is not finite.
        """
        accelerator, settings = self.accelerator, self.settings
        parts = shares(settings.batch, accelerator.num_processes, accelerator.process_index, self.execution.micro_batch)
        weights = trainable(self.network).to(accelerator.device)
        optimizer = torch.optim.AdamW(
            weights.parameters(), settings.learning_rate, settings.betas, weight_decay=settings.weight_decay
        )
        model, optimizer = accelerator.prepare(self.network.train(), optimizer)
        average = moving_average(weights, settings.ema) if settings.ema else None
        if average:
            self.averages([*average.module.parameters()])
        modules = {"weights": weights} | ({"average": average} if average else {})
        usual, start = {**settings.later, "steps": self.steps}, 0
        checkpoint = Checkpoint(self.work / CHECKPOINT, self.identity, modules, optimizer, usual)
        log = TrainingLog(self.work / LOG, COLUMNS) if accelerator.is_main_process else None
        if saved := checkpoint.load():
            start = int(saved[0]["step"])
            if start > self.steps:
                raise UserError(
                    f"{self.work / CHECKPOINT} has made {start} steps already, and {self.steps} are asked for: give at "
                    f"least {start} steps, or start again (`fresh`)"
                )
            say(f"resumes after step {start} of {self.steps}, from {self.work / CHECKPOINT}")
            if accelerator.scaler:
                accelerator.scaler.load_state_dict(saved[0]["scaler"])
            if log:
                log.restore(saved[1]["log"])
        begun = time.monotonic()
        with progress(self.title, self.steps - start, "steps") as tick:
            for step in range(start, self.steps):
                rate = settings.rate(step, self.steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                value, norm = self._step(model, optimizer, weights, parts, step)
                skipped = accelerator.scaler is not None  # in fp16 a step whose gradient overflows is not made
                if not math.isfinite(value) or not (math.isfinite(norm) or skipped):
                    raise CheckFailed(
                        f"the loss is {value} and its gradient {norm:g} at step {step + 1}; use a lower learning rate, "
                        "or mixed precision bf16 in place of fp16"
                    )
                if average:
                    average.update_parameters(weights)
                if log:
                    numbers, seconds = (f"{x:.6g}" for x in (value, rate, norm)), f"{time.monotonic() - begun:.1f}"
                    log.add(step + 1, (step + 1) * settings.batch, *numbers, seconds)
                self.log({"loss": value, "learning_rate": rate, "gradient_norm": norm}, step + 1)
                if log and due(step + 1, self.execution.checkpoint_every, self.steps):
                    scale = accelerator.scaler.state_dict() if accelerator.scaler else None
                    checkpoint.save({"step": step + 1, "scaler": scale}, {"log": log.state})
                if self.execution.validate_every and due(step + 1, self.execution.validate_every, self.steps):
                    with averaged(weights, average):
                        validate(step + 1)
                tick(note=f"loss {value:.4f}")
        if average:
            weights.load_state_dict(average.module.state_dict())

    def _step(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        weights: nn.ParameterList,
        parts: list[range],
        step: int,
    ) -> tuple[float, float]:
        """One optimiser step; returns the loss over all processes and the gradient's norm before clipping."""
        accelerator = self.accelerator
        torch.manual_seed(self.settings.seed + step)  # for networks with dropout
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=accelerator.device)
        for number, positions in enumerate(parts):
            last = number == len(parts) - 1
            with nullcontext() if last else accelerator.no_sync(model):
                batch = self.batches.part(step, positions).to(accelerator.device)
                part = self.loss(model, batch) / len(parts)
                accelerator.backward(part)
            total += part.detach()
        norm = accelerator.clip_grad_norm_(list(weights.parameters()), self.settings.clip)
        optimizer.step()
        return float(accelerator.reduce(total, "mean")), float(norm)


def trainable(network: nn.Module) -> nn.ParameterList:
    """The parameters that training changes, in a fixed order."""
    return nn.ParameterList([p for p in network.parameters() if p.requires_grad])


def shares(batch: int, processes: int, index: int, micro_batch: int) -> list[range]:
    """The positions in a batch that one process takes, in parts that fit its memory.

    Raises
    ------
    UserError
        The batch does not divide.
    """
    if batch % processes:
        raise UserError(f"a batch of {batch} does not divide over {processes} processes; choose one that does")
    own = batch // processes
    size = micro_batch or own
    if size > own or own % size:
        raise UserError(f"a micro-batch of {size} does not divide the {own} images that a process takes of each step")
    first = index * own
    return [range(at, at + size) for at in range(first, first + own, size)]


def due(step: int, every: int, last: int) -> bool:
    """Whether this is the last step or, where `every` is not 0, a multiple of `every`."""
    return step == last or (every > 0 and step % every == 0)


class averaged:
    """While it is entered, the network has the averaged weights."""

    def __init__(self, weights: nn.ParameterList, average: AveragedModel | None) -> None:
        self.weights, self.average = weights, average

    def __enter__(self) -> None:
        if self.average:
            self.own = {k: v.detach().clone() for k, v in self.weights.state_dict().items()}
            self.weights.load_state_dict(self.average.module.state_dict())

    def __exit__(self, *_: object) -> None:
        if self.average:
            self.weights.load_state_dict(self.own)
