"""Each kind of arm draws the synthetic images that it stands for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from training_helpers import data, images, recipe

from dermforge.common.errors import UserError
from evalsuite.study.arm import Arm
from evalsuite.study.arm_images import training_set
from evalsuite.study.synthetic_set import is_dark, synthetic_set
from evalsuite.training.data.datasets import Data
from shards.mixing.tensors import TensorSet

BASE = recipe(ratio=2, steps=30)


def drawn(kind: str, made: Data, seed: int = 0) -> TensorSet:
    arm = Arm(kind=kind, n_real=4, recipe=BASE.model_copy(update={"seed": seed}))  # type: ignore[arg-type]
    return synthetic_set(arm, made, made.real(4, seed))


def test_a_placebo_has_the_same_images_and_as_many_of_each_label() -> None:
    """Only the labels differ, by the seed, and they say nothing of the images."""
    made = data()
    plain, placebo = drawn("mix", made), drawn("shuffled-labels", made)
    assert plain.rows["id"].tolist() == placebo.rows["id"].tolist()
    assert np.bincount(plain.labels).tolist() == np.bincount(placebo.labels).tolist()
    assert (plain.labels == placebo.labels).mean() < 0.75
    again, other = drawn("shuffled-labels", made), drawn("shuffled-labels", made, 1)
    assert placebo.labels.tolist() == again.labels.tolist() != other.labels.tolist()
    assert made.synthetic is not None
    assert made.synthetic.labels.tolist() == data().synthetic.labels.tolist()  # type: ignore[union-attr]


def test_dark_skin_types_only_fill_the_whole_dose() -> None:
    made = data()
    assert made.synthetic is not None
    made.synthetic.rows["group"] = ["3" if i // 3 % 2 else "5" for i in range(made.synthetic.n)]
    chosen = drawn("dark-only", made)
    assert set(chosen.rows["group"]) == {"5"}
    assert np.bincount(chosen.labels).tolist() == [8, 8, 8]
    made.synthetic.rows["group"] = "2"
    with pytest.raises(UserError, match="no synthetic image is of a dark skin type; the groups are 2"):
        drawn("dark-only", made)


@pytest.mark.parametrize(
    ("dark", "light"),
    [
        (("5", "6", "V", "VI", "FST 5", "5-6", "V-VI", "56"), ("1", "4", "IV", "3-4", "4-5", "unknown")),
        (("monk-06", "monk-10"), ("monk-01", "monk-05")),
        (("tan", "brown", "dark"), ("very_light", "light", "intermediate")),
    ],
)
def test_dark_is_said_of_each_named_scale(dark: tuple[str, ...], light: tuple[str, ...]) -> None:
    assert all(map(is_dark, dark))
    assert not any(map(is_dark, light))


def test_an_untuned_generators_images_are_its_own() -> None:
    with pytest.raises(UserError, match="not tuned"):
        drawn("untuned", data())
    made = replace(data(), untuned=images(30, seed=9, synthetic=True, name="u"))
    assert {name[0] for name in drawn("untuned", made).rows["id"]} == {"u"}


def test_pretraining_and_all_real_images_make_as_many_steps() -> None:
    made = data()
    first = Arm(kind="pretrain", n_real=4, recipe=BASE)
    assert (first.trained_as().mode, first.trained_as().steps) == ("pretrain-then-tune", 30)
    every = Arm(kind="all-real", n_real=0, recipe=BASE.model_copy(update={"ratio": 0.0}))
    real, images_ = training_set(every, made)
    assert real.n == made.train.n
    assert images_.synthetic is None
    assert every.trained_as().steps == 30
