"""The learning rate over a run, and what a run must agree in to go on."""

from __future__ import annotations

import pytest
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from gen.decoder.settings import DecoderSettings
from gen.distill.settings import Distillation
from gen.finetune.rate import check_falls, share_of_rate
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


@given(warmup=st.integers(0, 20), steps=st.integers(1, 20))
def test_a_rate_that_is_to_fall_falls(warmup: int, steps: int) -> None:
    """Its last step is never the highest, but for a run of one step."""
    check_falls(steps, warmup, "constant")
    try:
        check_falls(steps, warmup, "cosine")
    except UserError:
        assert share_of_rate(steps - 1, steps, warmup, "cosine") == steps / warmup
    else:
        assert warmup < steps
        assert share_of_rate(steps - 1, steps, warmup, "cosine") < 1 or steps - warmup == 1


@pytest.mark.parametrize(
    ("settings", "method"), [(Hyperparameters, "full"), (Distillation, "full"), (DecoderSettings, None)]
)
def test_a_run_that_ends_while_its_rate_rises_is_refused(
    settings: type[Hyperparameters] | type[DecoderSettings], method: str | None
) -> None:
    """Also where epochs say how many steps there are."""
    given = {"warmup": 10, "schedule": "cosine"} | ({"method": method} if method else {})
    for steps in (1, 10):
        with pytest.raises(UserError, match=f"rises over 10 steps .*, and {steps} are made: it never falls"):
            settings.check(**given, steps=steps)
    assert settings.check(**given, steps=11).steps == 11
    assert settings.check(**given | {"schedule": "constant"}, steps=1).steps == 1
    if settings is Hyperparameters:
        epochs = Hyperparameters.check(**given, epochs=5, batch=4)
        assert epochs.steps_for(12) == 15
        with pytest.raises(UserError, match="and 10 are made"):
            epochs.steps_for(8)
