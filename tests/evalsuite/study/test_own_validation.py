"""A validation set within the budget: the arm's own images, whole patients, nothing learnt from them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_helpers import data, recipe

from dermforge.common.errors import UserError
from evalsuite.study.arm import Arm
from evalsuite.study.arm_images import digest, training_set, validation_set

MADE = data()


def arm(fraction: float, n_real: int = 4, kind: str = "mix", seed: int = 0) -> Arm:
    return Arm(kind=kind, n_real=n_real, recipe=recipe(ratio=2, seed=seed), val_fraction=fraction)  # type: ignore[arg-type]


@given(fraction=st.floats(0.01, 0.7), n_real=st.integers(2, 8), seed=st.integers(0, 50), patients=st.integers(3, 24))
@settings(max_examples=40, deadline=None)
def test_the_budget_is_split_and_nothing_is_on_both_sides(
    fraction: float, n_real: int, seed: int, patients: int
) -> None:
    made = data()
    made.train.rows["cluster"] = [f"p{i % patients}" for i in range(made.train.n)]
    mine = arm(fraction, n_real, "real", seed)
    try:
        real, images = training_set(mine, made)
    except UserError:  # patients take all of a class with them
        return
    own = validation_set(mine, made, real)
    assert images.real is not None
    learnt, chosen = images.real.rows, own.rows
    assert sorted([*learnt["id"], *chosen["id"]]) == sorted(made.real(n_real, seed).rows["id"])
    assert not set(learnt["cluster"]) & set(chosen["cluster"])
    assert set(learnt["class"]) == set(chosen["class"]) == {"a", "b", "c"}


def test_every_kind_holds_the_same_images_back_and_none_is_held_without_a_share() -> None:
    kinds = ("real", "mix", "pretrain", "real-repeated", "shuffled-labels")
    held = [validation_set(arm(0.25, kind=k), MADE, MADE.real(4, 0)).rows["id"].tolist() for k in kinds]
    assert all(ids == held[0] for ids in held)
    assert len(held[0]) == 3
    _, images = training_set(arm(0.25, kind="real-repeated"), MADE)
    assert not set(images.ids) & set(held[0])
    assert validation_set(arm(0.0), MADE, MADE.real(4, 0)) is MADE.validation


def test_an_arm_of_one_image_has_none_to_spare() -> None:
    with pytest.raises(UserError, match="leave none of a to learn from"):
        training_set(arm(0.5, n_real=1), MADE)


def test_arms_of_before_keep_their_digest() -> None:
    """A study that was trained before the setting existed is not trained again."""
    old = '{"kind":"mix","n_real":4,"strategy":null,"recipe":' + recipe(ratio=2).model_dump_json() + "}"
    images = MADE.digest_for(MADE.real(4, 0))
    assert digest(arm(0.0), MADE) == hashlib.sha256(f"{old} {images}".encode()).hexdigest()
    assert digest(arm(0.5), MADE) != digest(arm(0.0), MADE)
