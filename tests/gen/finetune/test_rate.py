"""The learning rate over a run, and what a run must agree in to go on."""

from __future__ import annotations

import pytest
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from hypothesis import given
from hypothesis import strategies as st

from gen.distill.settings import Distillation
from gen.finetune.rate import share_of_rate
from gen.finetune.settings import Hyperparameters


@given(warmup=st.integers(0, 20), steps=st.integers(1, 60))
def test_the_rate_falls_as_diffusers_has_it(warmup: int, steps: int) -> None:
    """After the warm-up, whose first step has a rate of its own here and none there."""
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    (theirs,) = get_cosine_schedule_with_warmup(optimizer, warmup, steps).lr_lambdas
    for step in range(steps):
        share = share_of_rate(step, steps, warmup, "cosine")
        assert share == pytest.approx(theirs(step + 1 if step < warmup else step), rel=1e-12)
        assert share > 0


def test_a_constant_rate_rises_and_stays() -> None:
    assert [share_of_rate(step, 7, 4, "constant") for step in range(7)] == [0.25, 0.5, 0.75, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "settings", [Hyperparameters.check(method="lora"), Distillation.check(method="lora", guidance=(3.0, 3.0))]
)
def test_a_rate_that_falls_decides_where_a_run_ends(settings: Hyperparameters) -> None:
    """At a constant rate a run may be made longer, and one of before there was a schedule goes on."""
    constant = settings.identity(9)
    assert constant == settings.identity(10)
    assert "schedule" not in constant
    falling = settings.model_copy(update={"schedule": "cosine"})
    assert falling.identity(9) == constant | {"schedule": "cosine", "steps": 9}
    assert falling.rate(8, 9) < settings.rate(8, 9)
