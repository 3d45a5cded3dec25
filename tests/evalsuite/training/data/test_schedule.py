"""Which images a step takes: exact ratios in every batch, for each mode."""

from __future__ import annotations

import numpy as np
import pytest
from training_helpers import ALONE, images, recipe

from dermforge.common.errors import UserError
from evalsuite.training.data.schedule import TrainingSet, schedule


@pytest.mark.parametrize("ratio", [0.5, 2.0, 10.0])
def test_the_ratio_is_exact_over_a_run_and_in_every_batch(ratio: float) -> None:
    """webdataset's random mix gives 14 to 44 real images where 26 are meant."""
    both = TrainingSet(images(24), images(90, synthetic=True, name="s"))
    r = recipe(ratio=ratio, steps=50, batch=11)
    plan = schedule(r, both, ALONE)
    counts = [int(synthetic.sum()) for _, synthetic in plan.batches()]
    assert len(counts) == 50
    share = ratio / (1 + ratio)
    assert abs(sum(counts) - 550 * share) < 1
    assert all(abs(c - 11 * share) < 1 for c in counts)
    assert plan.drawn(50) == (550 - sum(counts), sum(counts))


def test_modes_draw_what_they_say() -> None:
    """Pretraining sees synthetic images only, tuning real ones only."""
    both = TrainingSet(images(24), images(60, synthetic=True, name="s"))
    plan = schedule(recipe(mode="pretrain-then-tune", ratio=2, steps=10), both, ALONE)
    taken = [(batch.ids, synthetic.tolist()) for batch, synthetic in plan.batches()]
    assert [synthetic for _, synthetic in taken] == [[True] * 6] * 5 + [[False] * 6] * 5
    for start in (0, 3, 5, 7, 10):  # a run is resumed within the first phase, between the two and within the second
        assert [(batch.ids, synthetic.tolist()) for batch, synthetic in plan.batches(start)] == taken[start:]
    assert plan.drawn(7) == (12, 30)
    with pytest.raises(UserError, match="needs synthetic training images"):
        schedule(recipe(ratio=2), TrainingSet(images(24)), ALONE)


def test_balanced_streams_draw_classes_equally() -> None:
    """One class with a quarter of another's images gets as many draws."""
    uneven = TrainingSet(images(24).take(np.array([0, 3, 1, 4, 7, 10, 13, 16, 19, 22, 2, 5])))
    plan = schedule(recipe(balanced=True, steps=40, batch=6), uneven, ALONE)
    drawn = np.concatenate([batch.labels.numpy() for batch, _ in plan.batches()])
    assert np.ptp(np.bincount(drawn)) <= 1
