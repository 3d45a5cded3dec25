"""What a run of a small decoder must agree in to go on."""

from __future__ import annotations

from gen.decoder.settings import DecoderSettings


def test_a_run_of_before_there_was_a_schedule_goes_on_at_its_constant_rate() -> None:
    """It said neither a schedule nor steps; a rate that falls decides where a run ends."""
    before = {
        **{"width": None, "blocks": 3, "batch": 8, "learning_rate": 1e-3, "warmup": 100, "weight_decay": 0.0},
        **{"betas": [0.9, 0.99], "clip": 1.0, "ema": 0.995, "size": None, "views": 8, "mixed_precision": "no"},
        "seed": 0,
    }
    assert DecoderSettings(schedule="constant", steps=9).identity() == before
    assert DecoderSettings(steps=109).identity() == before | {"schedule": "cosine", "steps": 109}
