"""The learning rate of a small decoder, and what a run must agree in to go on."""

from __future__ import annotations

import pytest
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from hypothesis import given
from hypothesis import strategies as st

from gen.decoder.settings import DecoderSettings


@given(warmup=st.integers(0, 20), steps=st.integers(1, 60))
def test_the_rate_falls_as_diffusers_has_it(warmup: int, steps: int) -> None:
    """After the warm-up, whose first step has a rate of its own here and none there."""
    settings = DecoderSettings(steps=steps, warmup=warmup)
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    (theirs,) = get_cosine_schedule_with_warmup(optimizer, warmup, steps).lr_lambdas
    for step in range(steps):
        expected = theirs(step + 1 if step < warmup else step)
        assert settings.rate(step) == pytest.approx(1e-3 * expected, rel=1e-12)
        assert settings.rate(step) > 0


def test_a_constant_rate_rises_and_stays() -> None:
    settings = DecoderSettings(schedule="constant", warmup=4, steps=7)
    assert [settings.rate(step) for step in range(7)] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3, 1e-3])


def test_a_run_of_before_there_was_a_schedule_goes_on_at_its_constant_rate() -> None:
    """It said neither a schedule nor steps; a rate that falls decides where a run ends."""
    before = {
        **{"width": None, "blocks": 3, "batch": 8, "learning_rate": 1e-3, "warmup": 100, "weight_decay": 0.0},
        **{"betas": [0.9, 0.99], "clip": 1.0, "ema": 0.995, "size": None, "views": 8, "mixed_precision": "no"},
        "seed": 0,
    }
    assert DecoderSettings(schedule="constant", steps=9).identity() == before
    assert DecoderSettings(steps=9).identity() == before | {"schedule": "cosine", "steps": 9}
