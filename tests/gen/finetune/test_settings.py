"""Settings: the paper's by default, a method's own, and what is out of range."""

from __future__ import annotations

import pytest

from dermforge.common.errors import UserError
from gen.decoder.settings import DecoderSettings
from gen.distill.settings import Distillation
from gen.finetune.settings import Hyperparameters


def test_the_paper_is_the_default() -> None:
    """Sagers et al. 2023: 584 psoriasis images give 584 steps, 406 of basal cell carcinoma give 408."""
    paper = Hyperparameters.check(method="full")
    assert (paper.learning_rate, paper.batch, paper.epochs, paper.weight_decay) == (5e-6, 4, 4, 1e-2)
    assert (paper.betas, paper.clip, paper.warmup, paper.prior, paper.ema) == ((0.9, 0.999), 1.0, 0, 0, 0.0)
    assert (paper.steps_for(584), paper.steps_for(406)) == (584, 408)


def test_views_are_no_more_than_are_asked_for() -> None:
    settings = Hyperparameters.check(method="lora", epochs=3, views=8)
    assert settings.views_for(40) == 3
    assert Hyperparameters.check(method="lora", epochs=30, views=8).views_for(40) == 8
    assert Hyperparameters.check(method="full", steps=1).views_for(100) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0.0), ("batch", 0), ("ema", 1.0), ("epochs", 0), ("mixed_precision", "fp4"), ("views", 0)],
)
def test_settings_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"`{name}` is"):
        Hyperparameters.check(**{"method": "full", name: value})


@pytest.mark.parametrize("name", ["rank", "size"])
def test_numbers_that_no_machine_has_memory_for_are_refused(name: str) -> None:
    """Else a process is killed, and nobody says why."""
    for settings in (Hyperparameters, Distillation):
        with pytest.raises(UserError, match=rf"`{name}` is 100000: .* less than or equal to \d+$"):
            settings.check(method="lora", **{name: 100000})
    if name == "size":
        with pytest.raises(UserError, match=r"`size` is 100000: .* less than or equal to 4096"):
            DecoderSettings.check(size=100000)
