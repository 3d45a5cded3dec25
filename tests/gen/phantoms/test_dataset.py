"""Phantom shards: splits that share no draw, and every cell with its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dermforge.common.errors import UserError
from gen.phantoms import draw
from gen.phantoms.dataset import CELLS, SPLIT_BASE, PhantomSplit
from shards.format.reader import ShardSet


def test_splits_share_no_draw(phantom_shards: Path) -> None:
    ids = {split: {s.id for s, _ in ShardSet.open(phantom_shards / split).samples()} for split in SPLIT_BASE}
    assert not ids["train"] & ids["test"]
    assert not ids["train"] & ids["validation"]
    assert not ids["validation"] & ids["test"]
    seeds = [set(PhantomSplit(split, 1_000_000, seed).draws) for split in SPLIT_BASE for seed in (0, 1)]
    assert len(set().union(*seeds)) == sum(len(s) for s in seeds)


def test_shards_hold_every_cell_and_its_truth(phantom_shards: Path) -> None:
    samples = list(ShardSet.open(phantom_shards / "train").images())
    assert sorted((s.label, s.group) for s, _ in samples) == sorted([(c, g) for c, g in CELLS] * 2)
    for sample, image in samples[:6]:
        assert sample.origin == "phantom"
        assert np.array_equal(image, draw(sample.label, str(sample.group), int(sample.params["draw_seed"])).image)


@pytest.mark.parametrize(("per_cell", "seed", "said"), [(0, 1, "0 phantoms per cell"), (1, 1000, "seed 1000")])
def test_draws_of_another_set_are_refused(per_cell: int, seed: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        PhantomSplit("train", per_cell, seed)
