"""Which images make up a training step: mixtures of real and synthetic ones, as a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermforge.common.errors import UserError
from evalsuite.training.distributed import World
from evalsuite.training.recipe import Recipe
from shards.mixing.dataset import Batch, MixedStream, Source
from shards.mixing.tensors import TensorSet


@dataclass(frozen=True)
class TrainingSet:
    """What a classifier is trained on: real images, synthetic ones, or both."""

    real: TensorSet | None = None
    synthetic: TensorSet | None = None

    @property
    def parts(self) -> list[TensorSet]:
        return [part for part in (self.real, self.synthetic) if part is not None]

    @property
    def classes(self) -> list[str]:
        return self.parts[0].classes

    @property
    def ids(self) -> list[str]:
        return [name for part in self.parts for name in part.rows["id"]]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Positions of the classes in `classes`, int64 [n]."""
        return np.concatenate([part.labels for part in self.parts])


@dataclass(frozen=True)
class Phase:
    """Some steps in a row with one mixture. `synthetic`: which sources of the stream are, bool [sources]."""

    stream: MixedStream
    synthetic: Tensor


@dataclass(frozen=True)
class Schedule:
    """The phases of a run; every global batch is the same for any number of processes."""

    phases: tuple[Phase, ...]

    def batches(self, start: int = 0) -> Generator[tuple[Batch, Tensor], None, None]:
        """This process's batches from a step on, and which of their images are synthetic, bool [n]."""
        for phase in self.phases:
            if start < phase.stream.steps:
                phase.stream.set_epoch(0, start)
                yield from ((batch, phase.synthetic[batch.sources]) for batch in phase.stream)
            start = max(0, start - phase.stream.steps)

    def drawn(self, steps: int) -> tuple[int, int]:
        """How many real and synthetic images the first steps take, over all processes."""
        total = [0, 0]
        for phase in self.phases:
            counts = phase.stream.counts[: max(0, steps)].sum(axis=0)
            for count, synthetic in zip(counts, phase.synthetic.tolist(), strict=True):
                total[synthetic] += int(count)
            steps -= phase.stream.steps
        return total[0], total[1]

    def fewest(self) -> int | None:
        """The fewest images of one kind in any batch that mixes both; None where none does."""
        return min((int(p.stream.counts.min()) for p in self.phases if len(p.synthetic) > 1), default=None)


def schedule(recipe: Recipe, images: TrainingSet, world: World) -> Schedule:
    """The schedule of a recipe.

    Raises
    ------
    UserError
        There are no images of a kind that the recipe needs, or the batch cannot be divided among the processes.
    """
    first = max(1, min(recipe.steps - 1, round(recipe.pretrain_share * recipe.steps)))
    mixtures = {
        "mix": [(recipe.steps, 1.0, recipe.ratio)],
        "pretrain-then-tune": [(first, 0.0, 1.0), (recipe.steps - first, 1.0, 0.0)],
        "synthetic-only": [(recipe.steps, 0.0, 1.0)],
    }[recipe.mode]
    phases = [
        _phase(recipe, images, world, number, steps, {"real": real, "synthetic": synthetic})
        for number, (steps, real, synthetic) in enumerate(mixtures)
        if steps
    ]
    return Schedule(tuple(phases))


def _phase(
    recipe: Recipe, images: TrainingSet, world: World, number: int, steps: int, weights: dict[str, float]
) -> Phase:
    sources = []
    for kind, weight in weights.items():
        part: TensorSet | None = getattr(images, kind)
        if not weight:
            continue
        if part is None or not part.n:
            raise UserError(f"mode {recipe.mode} at ratio {recipe.ratio:g} needs {kind} training images; got none")
        sources.append(Source(part, weight, kind, balance="class" if recipe.balanced else None))
    stream = MixedStream(
        sources, recipe.batch, seed=recipe.seed * 8 + number, steps=steps, rank=world.rank, world_size=world.size
    )
    return Phase(stream, torch.tensor([source.name == "synthetic" for source in sources]))
