"""Which images make up a training step: `shards.mixing.dataset` over a pool, as a function of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.training.data.pool import Pool
from evalsuite.training.recipe import Recipe
from shards.format.reader import ImageSet
from shards.mixing.dataset import MixedStream, Source


@dataclass(frozen=True)
class Phase:
    """Some steps in a row with one mixture.

    Attributes
    ----------
    rows
        Pool rows of each source, in the stream's order.
    synthetic
        Whether each source is synthetic.
    """

    steps: int
    stream: MixedStream
    rows: tuple[NDArray[np.int64], ...]
    synthetic: tuple[bool, ...]


@dataclass(frozen=True)
class Schedule:
    """The phases of a run; every global batch is the same for any number of processes."""

    phases: tuple[Phase, ...]

    def rows(self, step: int) -> NDArray[np.int64]:
        """Pool rows of the global batch of a step."""
        phase, within = self._at(step)
        order = phase.stream.global_order(0, within)
        return np.array([phase.rows[source][row] for source, row in order], dtype=np.int64)

    def drawn(self, steps: int) -> tuple[int, int]:
        """How many real and synthetic images the first steps take."""
        total = [0, 0]
        for phase in self.phases:
            counts = phase.stream.counts[: max(0, steps)].sum(axis=0)
            for count, synthetic in zip(counts, phase.synthetic, strict=True):
                total[synthetic] += int(count)
            steps -= phase.steps
        return total[0], total[1]

    def fewest(self) -> int | None:
        """The fewest images of one kind in any batch that mixes both; None where none does."""
        mixed = [int(p.stream.counts.min()) for p in self.phases if len(p.rows) > 1]
        return min(mixed, default=None)

    def _at(self, step: int) -> tuple[Phase, int]:
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        raise IndexError("a step beyond the last phase")


def schedule(recipe: Recipe, pool: Pool) -> Schedule:
    """The schedule of a recipe over a pool of real and synthetic rows.

    Raises
    ------
    UserError
        There are no images of a kind that the recipe needs.
    """
    first = max(1, min(recipe.steps - 1, round(recipe.pretrain_share * recipe.steps)))
    mixtures = {
        "mix": [(recipe.steps, 1.0, recipe.ratio)],
        "pretrain-then-tune": [(first, 0.0, 1.0), (recipe.steps - first, 1.0, 0.0)],
        "synthetic-only": [(recipe.steps, 0.0, 1.0)],
    }[recipe.mode]
    return Schedule(
        tuple(
            _phase(recipe, pool, steps, real, synthetic, number)
            for number, (steps, real, synthetic) in enumerate(mixtures)
            if steps
        )
    )


def _phase(recipe: Recipe, pool: Pool, steps: int, real: float, synthetic: float, number: int) -> Phase:
    sources, rows, kinds = [], [], []
    for is_synthetic, weight in ((False, real), (True, synthetic)):
        if not weight:
            continue
        mine = np.flatnonzero(pool.synthetic == is_synthetic)
        if not len(mine):
            kind = "synthetic" if is_synthetic else "real"
            raise UserError(f"mode {recipe.mode} at ratio {recipe.ratio:g} needs {kind} training images; got none")
        sources.append(Source(_table(pool, mine), weight, balance="class" if recipe.balanced else None))
        rows.append(mine)
        kinds.append(is_synthetic)
    stream = MixedStream(sources, recipe.batch, seed=recipe.seed * 8 + number, steps=steps)
    return Phase(steps, stream, tuple(rows), tuple(kinds))


def _table(pool: Pool, rows: NDArray[np.int64]) -> ImageSet:
    """The rows as the mixing sees them; it gives numbers back, the pixels stay in the pool."""
    names = np.array(pool.classes)
    frame = pd.DataFrame(
        {
            "id": pool.ids[rows],
            "class": names[pool.labels[rows]],
            "origin": pool.origins[rows],
            "group": pool.groups["group"].to_numpy()[rows] if "group" in pool.groups else "",
        },
        dtype=object,
    )
    return ImageSet(frame, list(pool.classes))
