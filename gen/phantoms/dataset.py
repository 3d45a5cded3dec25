"""Phantoms as shard sets: train, validation and test, which share no draw."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from dermforge.common.console import progress
from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS
from gen.phantoms.draw import CLASSES, draw
from shards.format.images import encode_image
from shards.format.schema import Sample, Split
from shards.format.writer import ShardSetWriter

#: First draw of each split; a set takes `seed` million draws further on, so sets of other seeds share none.
SPLIT_BASE: dict[Split, int] = {"train": 0, "validation": 1_000_000_000, "test": 2_000_000_000}
DRAWS_PER_SEED = 1_000_000

CELLS = [(c, g) for c in CLASSES for g in sorted(TONE_GROUPS)]


def phantom_id(cls: str, group: str, draw_seed: int) -> str:
    """The id of a phantom: it names the draw, so equal ids are equal pictures."""
    return f"phantom-{draw_seed:010d}-{cls}-{group}"


def draw_seeds(split: Split, seed: int, per_cell: int) -> range:
    """The draws of a split.

    Raises
    ------
    UserError
        When the seed or the count would reach into another set's draws.
    """
    if not 0 <= seed < 1000:
        raise UserError(f"seed {seed}; expected 0 to 999")
    if not 1 <= per_cell <= DRAWS_PER_SEED:
        raise UserError(f"{per_cell} phantoms per cell; expected 1 to {DRAWS_PER_SEED}")
    first = SPLIT_BASE[split] + seed * DRAWS_PER_SEED
    return range(first, first + per_cell)


def write_split(out: Path, split: Split, per_cell: int, *, seed: int, size: int, shard_size: int = 1000) -> int:
    """Draw one split into OUT/split, `per_cell` of every class and tone group; returns the number of images."""
    seeds = draw_seeds(split, seed, per_cell)
    total = per_cell * len(CELLS)
    with (
        ShardSetWriter(out / split, split, classes=CLASSES, shard_size=shard_size) as writer,
        progress(f"draw {split} phantoms", total) as tick,
    ):
        for sample, image in _drawn(seeds, split, size):
            writer.add(sample, image, "png")
            tick()
    return total


def _drawn(seeds: range, split: Split, size: int) -> Iterator[tuple[Sample, bytes]]:
    if len(seeds) < 8:  # not worth starting processes for
        for seed in seeds:
            yield from _round(seed, split=split, size=size)
        return
    with ProcessPoolExecutor() as pool:
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
        result.append((sample, encode_image(phantom.image, "png")))
    return result
