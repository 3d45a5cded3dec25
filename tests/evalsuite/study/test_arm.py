"""Arms draw from the images, and make the steps, that their kind stands for."""

from __future__ import annotations

import pytest
from training_helpers import data, recipe

from dermforge.common.errors import UserError
from evalsuite.study.arm import Arm
from evalsuite.study.arm_images import training_set


def test_controls_get_the_images_and_steps_they_stand_for() -> None:
    """A control that trains longer or on fewer images than it says controls nothing."""
    made = data()
    base = recipe(ratio=2, steps=30)
    arms = {
        k: Arm(kind=k, n_real=4, recipe=base)
        for k in ("real", "mix", "real-short", "real-repeated", "randaugment", "synthetic-only")
    }  # type: ignore[arg-type]
    sizes = {k: len(training_set(a, made)[1].ids) for k, a in arms.items()}
    assert sizes == {
        "real": 12,
        "mix": 36,
        "real-short": 12,
        "real-repeated": 36,
        "randaugment": 12,
        "synthetic-only": 24,
    }
    assert arms["real-short"].trained_as().steps == 10
    assert arms["randaugment"].trained_as().augment == "randaugment"
    assert {a.trained_as().steps for k, a in arms.items() if k != "real-short"} == {30}
    with pytest.raises(UserError, match="80 synthetic"):
        training_set(Arm(kind="mix", n_real=4, recipe=recipe(ratio=20)), made)
