"""Recipes: checked when they are made, and with a learning rate that rises and falls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_helpers import recipe

from dermforge.common.errors import UserError
from evalsuite.training.recipe import make_recipe, usual_training


def test_the_learning_rate_rises_then_falls_as_a_cosine() -> None:
    """Linear to the full rate over the warm-up, half of it half way down, next to nothing at the end."""
    r = recipe(steps=100, lr=0.4, warmup=0.2)
    rates = [r.learning_rate(step) for step in range(100)]
    assert np.diff(rates[:20]) == pytest.approx(0.02)
    assert max(rates) == rates[19] == rates[20] == 0.4
    assert rates[60] == pytest.approx(0.2)
    assert np.all(np.diff(rates[20:]) < 0)
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"ratio": -1}, "`ratio` is -1"),
        ({"steps": 0}, "`steps` is 0"),
        ({"optimizer": "lion"}, "`optimizer` is 'lion'"),
    ],
)
def test_options_out_of_range_are_named(fields: dict[str, object], text: str) -> None:
    """One line that names the field."""
    with pytest.raises(UserError, match=text):
        make_recipe(**fields)


@given(
    weights=st.sampled_from(["scratch", "hub", "body.safetensors"]),
    tuning=st.sampled_from(["full", "head", "features"]),
    steps=st.none() | st.integers(1, 5000),
    lr=st.none() | st.floats(1e-5, 1.0),
)
def test_what_is_given_is_kept_and_the_rest_is_usual(
    weights: str, tuning: str, steps: int | None, lr: float | None
) -> None:
    made = make_recipe(weights=weights, tuning=tuning, steps=steps, lr=lr)
    usual = usual_training(weights, tuning)
    assert (made.steps, made.lr) == (steps or usual["steps"], lr or usual["lr"])
    assert 1 <= made.evaluate_every <= max(1, made.steps // 12)
    assert make_recipe(**made.model_dump()) == made


def test_a_pretrained_body_is_changed_less_than_one_from_scratch() -> None:
    """The rate for a new network would make a pretrained one forget what it knows."""
    pretrained, scratch = make_recipe(weights="hub"), make_recipe(weights="scratch")
    assert pretrained.lr < scratch.lr
    assert pretrained.steps < scratch.steps
    assert make_recipe() == scratch


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "resnet18 (timm) at 224 px, trained from scratch, 1000 steps of 32 images"),
        ({"weights": "hub"}, "resnet18 (timm) at 224 px, pretrained, all weights trained, 500 steps of 32 images"),
        (
            {"weights": "a/body.safetensors", "tuning": "head", "size": 96, "steps": 7},
            "resnet18 (timm) at 96 px, pretrained (body.safetensors), head and batch norms trained, "
            "7 steps of 32 images",
        ),
        ({"tuning": "features"}, "a linear head on a table of features, 500 steps of 32 images"),
    ],
)
def test_a_recipe_names_its_classifier(fields: dict[str, object], text: str) -> None:
    assert make_recipe(**fields).summary() == text
