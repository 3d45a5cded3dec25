"""What an arm draws from, and in which order: exact ratios, nested subsets, squares."""

from __future__ import annotations

import numpy as np
import pytest
from training_helpers import pool, recipe

from dermforge.common.errors import UserError
from evalsuite.training.data import stream
from evalsuite.training.data.pool import Pool, few_per_class, join, square, with_parents_among


@pytest.mark.parametrize("ratio", [0.5, 2.0, 10.0])
def test_the_ratio_is_exact_over_a_run_and_in_every_batch(ratio: float) -> None:
    """webdataset's random mix gives 14 to 44 real images where 26 are meant."""
    both = join([pool(24), pool(90, synthetic=True, name="s")])
    r = recipe(ratio=ratio, steps=50, batch=11)
    plan = stream.schedule(r, both)
    counts = [int(both.synthetic[plan.rows(step)].sum()) for step in range(50)]
    share = ratio / (1 + ratio)
    assert abs(sum(counts) - 550 * share) < 1
    assert all(abs(c - 11 * share) < 1 for c in counts)
    assert plan.drawn(50) == (550 - sum(counts), sum(counts))


def test_modes_draw_what_they_say() -> None:
    """Pretraining sees synthetic images only, tuning real ones only."""
    both = join([pool(24), pool(60, synthetic=True, name="s")])
    plan = stream.schedule(recipe(mode="pretrain-then-tune", ratio=2, steps=10), both)
    shares = [both.synthetic[plan.rows(step)].mean() for step in range(10)]
    assert shares == [1.0] * 5 + [0.0] * 5
    assert plan.drawn(7) == (12, 30)
    with pytest.raises(UserError, match="needs synthetic training images"):
        stream.schedule(recipe(ratio=2), pool(24))


def test_balanced_streams_draw_classes_equally() -> None:
    """One class with a quarter of another's images gets as many draws."""
    uneven = pool(24).take(np.array([0, 3, 1, 4, 7, 10, 13, 16, 19, 22, 2, 5]))
    plan = stream.schedule(recipe(balanced=True, steps=40, batch=6), uneven)
    drawn = np.concatenate([uneven.labels[plan.rows(step)] for step in range(40)])
    assert np.ptp(np.bincount(drawn)) <= 1


def test_subsets_are_nested_and_spread_over_groups() -> None:
    """n = 2 must be part of n = 4, or the two differ in more than their number; no group is left out."""
    whole = pool(48)
    small, large = few_per_class(whole, 2, 7), few_per_class(whole, 4, 7)
    assert set(small.ids) < set(large.ids)
    assert np.bincount(small.labels).tolist() == [2, 2, 2]
    for label in range(3):
        assert small.groups["group"][small.labels == label].nunique() == 2
    assert set(few_per_class(whole, 2, 8).ids) != set(small.ids)


def test_synthetic_images_of_other_parents_are_left_out() -> None:
    """An arm with n real images must not learn from the children of the others."""
    real, made = pool(6), pool(12, synthetic=True, name="s")
    parents = np.array([real.ids[0], "stranger", ""] * 4)
    made = Pool(**{**vars(made), "parents": parents})
    assert set(with_parents_among(made, real).parents) == {real.ids[0], ""}
    with pytest.raises(UserError, match="no synthetic image is left"):
        with_parents_among(made.take(parents == "stranger"), real)


def test_images_are_cut_square_before_they_are_resized() -> None:
    """Squeezing a landscape photograph would change every lesion's shape."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = 255
    assert square(image, 10).min() == 255
