"""What decides a student, and what is refused."""

from __future__ import annotations

import pytest

from dermforge.common.errors import UserError
from gen.distill.settings import Distillation, parse_guidance


def test_a_method_has_its_own_learning_rate() -> None:
    assert Distillation.check(method="full").learning_rate == 8e-6
    assert Distillation.check(method="lora").learning_rate == 1e-4


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"method": "textual-inversion"}, "unknown method"),
        ({"method": "full", "guidance": (5, 3)}, "rise"),
        ({"method": "full", "guidance": (0.5, 3)}, "from 1 to 100"),
        ({"method": "lora", "guidance": (2, 8)}, "take method full, or one scale"),
        ({"method": "full", "teacher_steps": 1}, "teacher_steps"),
        ({"method": "full", "prior": 3}, "prior"),
        ({"method": "full", "weighting": "snr"}, "weighting"),
    ],
)
def test_what_cannot_be_learnt_is_refused(given: dict[str, object], word: str) -> None:
    with pytest.raises(UserError, match=word):
        Distillation.check(**given)


def test_guidance_is_a_scale_or_a_range() -> None:
    assert parse_guidance("3") == (3, 3)
    assert parse_guidance("2:8.5") == (2, 8.5)
    with pytest.raises(UserError, match="LOW:HIGH"):
        parse_guidance("much")


def test_a_student_without_an_input_for_guidance_is_not_guided_again() -> None:
    assert Distillation.check(method="full", guidance=(3, 3)).few()["guidance"] == 1
    assert Distillation.check(method="full", guidance=(2, 8)).few()["guidance"] == 5


def test_a_run_of_before_there_were_weightings_goes_on() -> None:
    usual = Distillation.check(method="full").identity(9)
    assert "weighting" not in usual
    assert Distillation.check(method="full", weighting="noise").identity(9) == usual | {"weighting": "noise"}
