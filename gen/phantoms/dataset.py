"""Phantoms as shard sets: train, validation and test, which share no draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dermforge.common import processes
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from dermforge.common.progress import Ticker, no_tick
from dermforge.common.skin_tone import TONE_GROUPS
from gen.phantoms.draw import CLASSES, draw
from shards.format.images import encode_image
from shards.format.mark import Mark
from shards.format.schema import SPLITS, Sample, Split
from shards.format.writer import ShardSetWriter
from shards.storage.claim import claim_set

#: First draw of each split; a set of seed s starts s million draws later, so sets of other seeds share none.
SPLIT_BASE: dict[Split, int] = {"train": 0, "validation": 1_000_000_000, "test": 2_000_000_000}
DRAWS_PER_SEED = 1_000_000
#: A program draws phantoms, no trained model.
MARK = Mark("algorithmicMedia", "dermforge gen phantoms")

CELLS = [(c, g) for c in CLASSES for g in sorted(TONE_GROUPS)]


def phantom_id(cls: str, group: str, draw_seed: int) -> str:
    """The id of a phantom: it names the draw, so equal ids are equal pictures."""
    return f"phantom-{draw_seed:010d}-{cls}-{group}"


@dataclass(frozen=True)
class PhantomSplit:
    """One split of a phantom set: `per_cell` phantoms of every class and tone group.

    Attributes
    ----------
    seed
        0 to 999; sets of other seeds share no draw.
    size
        Side in pixels.
    """

    split: Split
    per_cell: int
    seed: int
    size: int = 64
    shard_size: int = 1000

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1000:
            raise UserError(f"seed {self.seed}; expected 0 to 999")
        if not 1 <= self.per_cell <= DRAWS_PER_SEED:
            raise UserError(f"{self.per_cell} phantoms per cell; expected 1 to {DRAWS_PER_SEED}")

    @property
    def draws(self) -> range:
        first = SPLIT_BASE[self.split] + self.seed * DRAWS_PER_SEED
        return range(first, first + self.per_cell)

    @property
    def images(self) -> int:
        return self.per_cell * len(CELLS)

    def claim(self, out: Path) -> None:
        """Refuse an OUT that holds more than splits, or other files than shards in the folder of this split."""
        claim(out, "a set of phantoms", [], SPLITS)
        claim_set(out / self.split, self.split)

    def write(self, out: Path, tick: Ticker = no_tick) -> None:
        """Draw the split into shards in OUT/split."""
        with ShardSetWriter(out / self.split, self.split, classes=CLASSES, shard_size=self.shard_size) as writer:
            for sample, image in _drawn(self.draws, self.split, self.size):
                writer.add(sample, image, "png")
                tick()


def _drawn(seeds: range, split: Split, size: int) -> Iterator[tuple[Sample, bytes]]:
    if len(seeds) < 8:  # not worth starting processes for
        for seed in seeds:
            yield from _round(seed, split=split, size=size)
        return
    with processes.pool() as pool:
        for one in pool.map(partial(_round, split=split, size=size), seeds):
            yield from one


def _round(seed: int, *, split: Split, size: int) -> list[tuple[Sample, bytes]]:
    """One phantom of every cell."""
    result = []
    for cls, group in CELLS:
        phantom = draw(cls, group, seed, size)
        sample = Sample(
            id=phantom_id(cls, group, seed),
            origin="phantom",
            label=cls,
            group=group,
            split=split,
            width=size,
            height=size,
            seed=seed,
            size=size,
            params=phantom.params,
        )
        result.append((sample, encode_image(phantom.image, "png", mark=MARK)))
    return result
